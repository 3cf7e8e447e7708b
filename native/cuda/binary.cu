// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of two operands on a device: buffers and numbers as in cpu/binary.cc.
#include "cuda/binary.cuh"

#include <algorithm>
#include <string>
#include <utility>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;

template <class F, class T>
using ResultOf = decltype(std::declval<F>()(std::declval<T>(), std::declval<T>()));

template <class F, class T>
Status zip(Device& device, Arguments& in, const Broadcast& plan) {
  using R = ResultOf<F, T>;
  const T* a = in.buffer<T>(0, plan.a_count);
  const T* b = in.buffer<T>(1, plan.b_count);
  R* out = in.buffer<R>(2, plan.count());
  if (!in.ok() || plan.count() == 0) return in.status();
  const bool aligned = all_aligned({out}, 4 * sizeof(R));
  if (plan.rank == 0 && plan.a_row == 1 && plan.b_row == 1) {
    launch_elementwise(device, ZipAlike<F, T, R>{a, b, out}, plan.count(),
                       aligned && all_aligned({a, b}, 4 * sizeof(T)));
  } else {
    launch_elementwise(device, Zip<F, T, R>{a, b, out, BroadcastSteps(plan)}, plan.count(),
                       aligned && fours_in_a_row(plan));
  }
  return {};
}

// All ops — buffers: a, b, out. numbers: [dtype of a and b, rank, aShape… (rank), bShape… (rank)], shapes padded with ones to a common
// rank <= 8. `Types` are those the op takes.
template <class F, class... Types>
Status binary(Device& device, const OpArguments& arguments) {
  Arguments in("binary", arguments, 3, 2);
  const DType dtype = in.dtype(0);
  const Broadcast plan = read_broadcast(in, 1);
  if (!in.ok()) return in.status();
  if constexpr ((std::is_same_v<Types, float> || ...)) {
    if (dtype == DType::kFloat32) return zip<F, float>(device, in, plan);
  }
  if constexpr ((std::is_same_v<Types, Int> || ...)) {
    if (dtype == DType::kInt32) return zip<F, Int>(device, in, plan);
  }
  if constexpr ((std::is_same_v<Types, Bool> || ...)) {
    if (dtype == DType::kBool) return zip<F, Bool>(device, in, plan);
  }
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

template <class F>
constexpr DeviceOp kAny = binary<F, float, Int, Bool>;

template <class T>
Status add_all(Device& device, Arguments& in, std::size_t operands, std::int64_t count) {
  T* out = in.buffer<T>(operands, count);
  const T* sum = in.buffer<T>(0, count);
  for (std::size_t i = 1; i < operands; ++i) in.buffer<T>(i, count);
  if (!in.ok()) return in.status();
  if (operands == 1) launch_map(device, sum, out, count, First{});
  for (std::size_t i = 1; i < operands; ++i) {
    const T* next = in.buffer<T>(i, count);
    launch_elementwise(device, ZipAlike<Add, T, T>{sum, next, out}, count,
                       all_aligned({sum, next, out}, 4 * sizeof(T)));
    sum = out;
  }
  return {};
}

// buffers: x…, out. numbers: [dtype, count]; the same dtype and count for all.
Status add_n(Device& device, const OpArguments& arguments) {
  Arguments in("AddN", arguments, std::max<std::size_t>(2, arguments.buffer_count), 2);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  if (!in.ok()) return in.status();
  const std::size_t operands = arguments.buffer_count - 1;
  if (dtype == DType::kFloat32) return add_all<float>(device, in, operands, count);
  if (dtype == DType::kInt32) return add_all<Int>(device, in, operands, count);
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

}  // namespace

void register_binary(DeviceOpTable& table) {
  table.add("Add", kAny<Add>);
  table.add("AddN", add_n);
  table.add("EluGrad", binary<EluGradient, float>);
  table.add("Equal", kAny<Equal>);
  table.add("FloorDiv", binary<FloorDivide, float, Int>);
  table.add("Greater", kAny<Greater>);
  table.add("GreaterEqual", kAny<GreaterEqual>);
  table.add("Less", kAny<Less>);
  table.add("LessEqual", kAny<LessEqual>);
  table.add("LogicalAnd", binary<LogicalAnd, Bool>);
  table.add("LogicalOr", binary<LogicalOr, Bool>);
  table.add("Maximum", kAny<Maximum>);
  table.add("Minimum", kAny<Minimum>);
  table.add("Mod", binary<Mod, float, Int>);
  table.add("Multiply", kAny<Multiply>);
  table.add("NotEqual", kAny<NotEqual>);
  table.add("Pow", binary<Pow, float, Int>);
  table.add("Prelu", binary<Prelu, float>);
  table.add("RealDiv", binary<Divide, float>);
  table.add("SquaredDifference", kAny<SquaredDifference>);
  table.add("Sub", kAny<Subtract>);
}

}  // namespace dm::cuda
