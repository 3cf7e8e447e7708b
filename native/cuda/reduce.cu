// SPDX-License-Identifier: Apache-2.0
// Max, Mean, Min, Prod and Sum on a device: buffers and numbers as in cpu/reduce.cc.
#include "cuda/reduce.cuh"

#include <algorithm>
#include <limits>
#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

using Int = std::int32_t;
using Bool = std::uint8_t;

constexpr std::int64_t kRowPart = 4096;     // elements that a warp folds
constexpr std::int64_t kColumnPart = 256;   // elements that a thread folds
constexpr std::int64_t kMostParts = 16384;  // of an output: below the limit of blocks along y

template <class Op>
void launch_reduce(Device& device, Reduce<Op>& p, bool row_is_reduced) {
  const std::int64_t least = row_is_reduced ? kRowPart : kColumnPart;
  p.part = std::max(least, blocks_for(p.elements, kMostParts));
  p.parts = blocks_for(p.elements, p.part);
  if (p.parts > 1) {
    const auto count = static_cast<std::size_t>(p.outputs * p.parts);
    p.partials = static_cast<typename Op::A*>(device.scratch(count * sizeof(typename Op::A)));
  }
  if (row_is_reduced) {
    const Grid grid{.blocks = blocks_for(p.outputs * p.parts, kReduceWarps),
                    .threads = kReduceThreads};
    launch<reduce_rows<Op>>(device, grid, p);
  } else {
    const Grid grid{.blocks = blocks_for(p.outputs, kReduceThreads),
                    .blocks_y = p.parts,
                    .threads = kReduceThreads};
    launch<reduce_columns<Op>>(device, grid, p);
  }
  if (p.parts == 1) return;
  const Grid grid{.blocks = blocks_for(p.outputs, kReduceWarps), .threads = kReduceThreads};
  launch<combine_parts<Op>>(device, grid, p);
}

template <class Op>
Status reduce(Device& device, Arguments& in, const Reduction& plan) {
  using R = typename Op::R;
  Reduce<Op> p{.x = in.buffer<typename Op::T>(0, plan.input_count),
               .out = in.buffer<R>(1, plan.outputs),
               .partials = nullptr,
               .kept = {},
               .reduced = {},
               .row = Divisor(),
               .outputs = plan.outputs,
               .elements = plan.elements,
               .part = 1,
               .parts = 1};
  if (!in.ok() || plan.outputs == 0) return in.status();
  if (plan.elements == 0) {
    launch_elementwise(device, FillAll<R>{p.out, Op::kEmpty}, plan.outputs, false);
    return {};
  }
  p.kept = AxisGroups(plan.kept);
  p.reduced = AxisGroups(plan.reduced);
  p.row = Divisor(plan.row);
  launch_reduce(device, p, plan.row_is_reduced);
  return {};
}

Status refuse(Arguments& in, DType dtype) {
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

// All ops — buffers: x, y. numbers: [dtype of x, rank, shape… (rank), reduced… (rank)]: 1 for an axis that is reduced, else 0; rank <= 8.
// Of no elements: sum and mean 0, product 1, others NaN, or 0 for int32 and bool.

/// Sum, product or mean: of floats, and of integers where there is an op for them.
template <class Floats, class Ints>
Status fold(Device& device, const OpArguments& arguments, const char* name) {
  Arguments in(name, arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  if (dtype == DType::kFloat32) return reduce<Floats>(device, in, plan);
  if constexpr (!std::is_void_v<Ints>) {
    if (dtype == DType::kInt32) return reduce<Ints>(device, in, plan);
  }
  return refuse(in, dtype);
}

Status sum(Device& device, const OpArguments& arguments) {
  return fold<FloatSum, IntSum>(device, arguments, "Sum");
}
Status mean(Device& device, const OpArguments& arguments) {
  return fold<FloatMean, void>(device, arguments, "Mean");
}
Status product(Device& device, const OpArguments& arguments) {
  return fold<FloatProduct, IntProduct>(device, arguments, "Prod");
}

template <bool kMost>
Status extreme(Device& device, const OpArguments& arguments) {
  constexpr Int kOfInts =
      kMost ? std::numeric_limits<Int>::lowest() : std::numeric_limits<Int>::max();
  Arguments in(kMost ? "Max" : "Min", arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  if (dtype == DType::kFloat32) return reduce<FloatExtreme<kMost>>(device, in, plan);
  if (dtype == DType::kInt32) return reduce<IntExtreme<Int, kMost, kOfInts>>(device, in, plan);
  return reduce<IntExtreme<Bool, kMost, kMost ? 0 : 255>>(device, in, plan);
}

}  // namespace

void register_reduce(DeviceOpTable& table) {
  table.add("Max", extreme<true>);
  table.add("Mean", mean);
  table.add("Min", extreme<false>);
  table.add("Prod", product);
  table.add("Sum", sum);
}

}  // namespace dm::cuda
