// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of one operand: of float32, some of int32 or bool.
#include "cpu/simd/unary.h"

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk: 64 KiB of input
constexpr std::size_t kMostAttributes = 2;

// buffers: x, y (may be one block when of one dtype). numbers: [count, attributes…]; attributes of
// int32 ops are integers.
template <std::size_t kAttributes, typename T, typename R>
Status map(const OpArguments& arguments, UnaryKernel<T, R> kernel) {
  Arguments in("unary", arguments, 2, 1 + kAttributes);
  const std::int64_t count = in.count(0);
  const T* x = in.buffer<T>(0, count);
  R* y = in.buffer<R>(1, count);
  std::array<T, kMostAttributes> attributes{};
  for (std::size_t i = 0; i < kAttributes; ++i) {
    if constexpr (std::is_integral_v<T>) {
      const std::int64_t value = in.integer(1 + i);
      if (value != static_cast<T>(value))
        in.fail("an attribute of the dtype", std::to_string(value));
    }
    attributes[i] = static_cast<T>(in.number(1 + i));
  }
  if (!in.ok()) return in.status();
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    kernel(x + begin, y + begin, end - begin, attributes.data());
  });
  return {};
}

template <auto kKernel, std::size_t kAttributes = 0>
Status unary(const OpArguments& arguments) {
  return map<kAttributes>(arguments, DM_PICK(kUnary).*kKernel);
}

}  // namespace

// Ops of int32 and bool carry their dtype in the name.
void register_unary(OpTable& table) {
  using K = UnaryKernels;
  table.add("Abs", unary<&K::abs>);
  table.add("Ceil", unary<&K::ceil>);
  table.add("ClipByValue", unary<&K::clip, 2>);
  table.add("Cos", unary<&K::cos>);
  table.add("Elu", unary<&K::elu>);
  table.add("Erf", unary<&K::erf>);
  table.add("Exp", unary<&K::exp>);
  table.add("Expm1", unary<&K::expm1>);
  table.add("Floor", unary<&K::floor>);
  table.add("IsFinite", unary<&K::is_finite>);
  table.add("IsInf", unary<&K::is_inf>);
  table.add("IsNan", unary<&K::is_nan>);
  table.add("LeakyRelu", unary<&K::leaky_relu, 1>);
  table.add("Log", unary<&K::log>);
  table.add("Log1p", unary<&K::log1p>);
  table.add("LogicalNot", unary<&K::logical_not>);
  table.add("Neg", unary<&K::neg>);
  table.add("Reciprocal", unary<&K::reciprocal>);
  table.add("Relu", unary<&K::relu>);
  table.add("Relu6", unary<&K::relu6>);
  table.add("Round", unary<&K::round>);
  table.add("Rsqrt", unary<&K::rsqrt>);
  table.add("Selu", unary<&K::selu>);
  table.add("Sigmoid", unary<&K::sigmoid>);
  table.add("Sign", unary<&K::sign>);
  table.add("Sin", unary<&K::sin>);
  table.add("Softplus", unary<&K::softplus>);
  table.add("Sqrt", unary<&K::sqrt>);
  table.add("Square", unary<&K::square>);
  table.add("Step", unary<&K::step, 1>);
  table.add("Tanh", unary<&K::tanh>);
  table.add("Abs.int32", unary<&K::abs_int>);
  table.add("ClipByValue.int32", unary<&K::clip_int, 2>);
  table.add("Neg.int32", unary<&K::neg_int>);
  table.add("Relu.int32", unary<&K::relu_int>);
  table.add("Relu6.int32", unary<&K::relu6_int>);
  table.add("Sign.int32", unary<&K::sign_int>);
  table.add("Square.int32", unary<&K::square_int>);
}

}  // namespace dm::cpu
