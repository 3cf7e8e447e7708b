// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of two operands of one dtype, float32 or int32, with broadcasting.
#include "cpu/simd/binary.h"

#include <algorithm>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

template <typename T>
Status zip(Arguments& in, const Broadcast& plan, BinaryKernel<T> kernel) {
  const T* a = in.buffer<T>(0, plan.a_count);
  const T* b = in.buffer<T>(1, plan.b_count);
  T* out = in.buffer<T>(2, plan.count());
  if (!in.ok()) return in.status();
  if (plan.rows == 1) {  // one long row, cut
    parallel_for(plan.row, kGrain, [=, &plan](std::int64_t begin, std::int64_t end) {
      kernel(a + begin * plan.a_row, plan.a_row, b + begin * plan.b_row, plan.b_row, out + begin,
             end - begin);
    });
    return {};
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / plan.row);
  parallel_for(plan.rows, grain, [=, &plan](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const auto [a_start, b_start] = plan.offsets(row);
      kernel(a + a_start, plan.a_row, b + b_start, plan.b_row, out + row * plan.row, plan.row);
    }
  });
  return {};
}

// buffers: a, b, out. numbers: [dtype, rank, aShape… (rank), bShape… (rank)], shapes padded with
// ones to a common rank <= 8.
template <BinaryKernel<float> BinaryKernels::* kFloat,
          BinaryKernel<std::int32_t> BinaryKernels::* kInt = nullptr>
Status binary(const OpArguments& arguments) {
  Arguments in("binary", arguments, 3, 2);
  const DType dtype = in.dtype(0);
  const Broadcast plan = read_broadcast(in, 1);
  if (!in.ok()) return in.status();
  if (dtype == DType::kFloat32) return zip<float>(in, plan, DM_PICK(kBinary).*kFloat);
  if constexpr (kInt != nullptr) {
    if (dtype == DType::kInt32) return zip<std::int32_t>(in, plan, DM_PICK(kBinary).*kInt);
  }
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

}  // namespace

void register_binary(OpTable& table) {
  using K = BinaryKernels;
  table.add("Add", binary<&K::add, &K::add_int>);
  table.add("Maximum", binary<&K::maximum, &K::maximum_int>);
  table.add("Minimum", binary<&K::minimum, &K::minimum_int>);
  table.add("Multiply", binary<&K::multiply, &K::multiply_int>);
  table.add("RealDiv", binary<&K::divide>);
  table.add("SquaredDifference", binary<&K::squared_difference>);
  table.add("Sub", binary<&K::subtract, &K::subtract_int>);
}

}  // namespace dm::cpu
