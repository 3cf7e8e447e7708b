// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of one operand on a device: buffers and numbers as in cpu/unary.cc.
#include "cuda/unary.cuh"

#include <string>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

using Int = std::int32_t;
using Bool = std::uint8_t;

/// Attribute `i`, the number after the count.
template <class T>
T attribute(Arguments& in, std::size_t i) {
  if constexpr (std::is_integral_v<T>) {
    const std::int64_t value = in.integer(1 + i);
    if (value != static_cast<T>(value)) in.fail("an attribute of the dtype", std::to_string(value));
    return static_cast<T>(value);
  } else {
    return static_cast<T>(in.number(1 + i));
  }
}

// buffers: x, y (may be one block when of one dtype). numbers: [count, attributes…]; attributes of int32 ops are integers.
template <class F, class T = float, class R = T, class... Attributes>
Status unary(Device& device, const OpArguments& arguments) {
  Arguments in("unary", arguments, 2, 1 + sizeof...(Attributes));
  const std::int64_t count = in.count(0);
  const T* x = in.buffer<T>(0, count);
  R* y = in.buffer<R>(1, count);
  std::size_t i = 0;
  const F function{attribute<Attributes>(in, i++)...};
  if (!in.ok()) return in.status();
  launch_map(device, x, y, count, function);
  return {};
}

}  // namespace

// Ops of int32 and bool carry their dtype in the name.
void register_unary(DeviceOpTable& table) {
  table.add("Abs", unary<Abs>);
  table.add("Ceil", unary<Ceil>);
  table.add("ClipByValue", unary<Clip<float>, float, float, float, float>);
  table.add("Cos", unary<Cos>);
  table.add("Elu", unary<Elu>);
  table.add("Erf", unary<Erf>);
  table.add("Exp", unary<Exp>);
  table.add("Expm1", unary<Expm1>);
  table.add("Floor", unary<Floor>);
  table.add("IsFinite", unary<IsFinite, float, Bool>);
  table.add("IsInf", unary<IsInf, float, Bool>);
  table.add("IsNan", unary<IsNan, float, Bool>);
  table.add("LeakyRelu", unary<LeakyRelu, float, float, float>);
  table.add("Log", unary<Log>);
  table.add("Log1p", unary<Log1p>);
  table.add("LogicalNot", unary<LogicalNot, Bool>);
  table.add("Neg", unary<Neg>);
  table.add("Reciprocal", unary<Reciprocal>);
  table.add("Relu", unary<Relu>);
  table.add("Relu6", unary<Relu6>);
  table.add("Round", unary<Round>);
  table.add("Rsqrt", unary<Rsqrt>);
  table.add("Selu", unary<Selu>);
  table.add("Sigmoid", unary<Sigmoid>);
  table.add("Sign", unary<Sign>);
  table.add("Sin", unary<Sin>);
  table.add("Softplus", unary<Softplus>);
  table.add("Sqrt", unary<Sqrt>);
  table.add("Square", unary<Square>);
  table.add("Step", unary<Step, float, float, float>);
  table.add("Tanh", unary<Tanh>);
  table.add("Abs.int32", unary<AbsInt, Int>);
  table.add("ClipByValue.int32", unary<Clip<Int>, Int, Int, Int, Int>);
  table.add("Neg.int32", unary<NegInt, Int>);
  table.add("Relu.int32", unary<ReluInt, Int>);
  table.add("Relu6.int32", unary<Relu6Int, Int>);
  table.add("Sign.int32", unary<SignInt, Int>);
  table.add("Square.int32", unary<SquareInt, Int>);
}

}  // namespace dm::cuda
