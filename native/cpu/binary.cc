// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of two operands of one dtype, with broadcasting.
#include "cpu/simd/binary.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "core/thread-pool.h"
#include "cpu/binary-exact.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;

constexpr std::int64_t kGrain = 16384;  // elements a chunk

template <typename T, typename R>
Status zip(Arguments& in, const Broadcast& plan, BinaryKernel<T, R> kernel) {
  const T* a = in.buffer<T>(0, plan.a_count);
  const T* b = in.buffer<T>(1, plan.b_count);
  R* out = in.buffer<R>(2, plan.count());
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
    plan.for_rows(begin, end, [&](std::int64_t row, std::int64_t a_start, std::int64_t b_start) {
      kernel(a + a_start, plan.a_row, b + b_start, plan.b_row, out + row * plan.row, plan.row);
    });
  });
  return {};
}

Status refuse(Arguments& in, DType dtype) {
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

// All ops — buffers: a, b, out. numbers: [dtype of a and b, rank, aShape… (rank), bShape… (rank)],
// shapes padded with ones to a common rank <= 8.

/// `kSelect` picks the kernel out of the ZipKernels of a dtype.
template <auto kSelect>
Status any_dtype(const OpArguments& arguments) {
  Arguments in("binary", arguments, 3, 2);
  const DType dtype = in.dtype(0);
  const Broadcast plan = read_broadcast(in, 1);
  if (!in.ok()) return in.status();
  const BinaryKernels& kernels = DM_PICK(kBinary);
  if (dtype == DType::kFloat32) return zip(in, plan, kSelect(kernels.floats));
  if (dtype == DType::kInt32) return zip(in, plan, kSelect(kernels.ints));
  return zip(in, plan, kSelect(kernels.bools));
}

/// One kernel, for the dtype of its operands.
template <typename T, typename R>
Status one_dtype(const OpArguments& arguments, DType expected, BinaryKernel<T, R> kernel) {
  Arguments in("binary", arguments, 3, 2);
  const DType dtype = in.dtype(0);
  const Broadcast plan = read_broadcast(in, 1);
  if (!in.ok()) return in.status();
  return dtype == expected ? zip(in, plan, kernel) : refuse(in, dtype);
}

template <auto kKernel>
Status of_floats(const OpArguments& arguments) {
  return one_dtype(arguments, DType::kFloat32, DM_PICK(kBinary).*kKernel);
}

template <auto kKernel>
Status of_bools(const OpArguments& arguments) {
  return one_dtype(arguments, DType::kBool, DM_PICK(kBinary).*kKernel);
}

bool is_int(const OpArguments& arguments) {
  return arguments.number_count > 0 && arguments.numbers[0] == static_cast<double>(DType::kInt32);
}

Status floor_divide(const OpArguments& arguments) {
  if (is_int(arguments)) return one_dtype(arguments, DType::kInt32, kExact.floor_divide_int);
  return one_dtype(arguments, DType::kFloat32, kExact.floor_divide);
}

Status mod(const OpArguments& arguments) {
  if (is_int(arguments)) return one_dtype(arguments, DType::kInt32, kExact.mod_int);
  return one_dtype(arguments, DType::kFloat32, kExact.mod);
}

Status pow(const OpArguments& arguments) {
  if (is_int(arguments)) return one_dtype(arguments, DType::kInt32, kExact.pow_int);
  return one_dtype(arguments, DType::kFloat32, DM_PICK(kBinary).pow);
}

// buffers: x…, out. numbers: [dtype, count]; the same dtype and count for all.
template <typename T>
Status add_all(Arguments& in, const OpArguments& arguments, std::int64_t count,
               BinaryKernel<T> add) {
  const std::size_t operands = arguments.buffer_count - 1;
  for (std::size_t i = 0; i <= operands; ++i) in.buffer<T>(i, count);
  if (!in.ok()) return in.status();
  const auto at = [&](std::size_t i) { return static_cast<T*>(arguments.buffers[i]->data); };
  T* out = at(operands);
  parallel_for(count, kGrain, [&, out](std::int64_t begin, std::int64_t end) {
    std::copy(at(0) + begin, at(0) + end, out + begin);
    for (std::size_t i = 1; i < operands; ++i) {
      add(out + begin, 1, at(i) + begin, 1, out + begin, end - begin);
    }
  });
  return {};
}

Status add_n(const OpArguments& arguments) {
  Arguments in("AddN", arguments, std::max<std::size_t>(2, arguments.buffer_count), 2);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  if (!in.ok()) return in.status();
  const BinaryKernels& kernels = DM_PICK(kBinary);
  if (dtype == DType::kFloat32) return add_all(in, arguments, count, kernels.floats.add);
  if (dtype == DType::kInt32) return add_all(in, arguments, count, kernels.ints.add);
  return refuse(in, dtype);
}

#define DM_ZIP(kernel) any_dtype<[](const auto& kernels) { return kernels.kernel; }>

}  // namespace

void register_binary(OpTable& table) {
  using K = BinaryKernels;
  table.add("Add", DM_ZIP(add));
  table.add("AddN", add_n);
  table.add("EluGrad", of_floats<&K::elu_gradient>);
  table.add("Equal", DM_ZIP(equal));
  table.add("FloorDiv", floor_divide);
  table.add("Greater", DM_ZIP(greater));
  table.add("GreaterEqual", DM_ZIP(greater_equal));
  table.add("Less", DM_ZIP(less));
  table.add("LessEqual", DM_ZIP(less_equal));
  table.add("LogicalAnd", of_bools<&K::logical_and>);
  table.add("LogicalOr", of_bools<&K::logical_or>);
  table.add("Maximum", DM_ZIP(maximum));
  table.add("Minimum", DM_ZIP(minimum));
  table.add("Mod", mod);
  table.add("Multiply", DM_ZIP(multiply));
  table.add("NotEqual", DM_ZIP(not_equal));
  table.add("Pow", pow);
  table.add("Prelu", of_floats<&K::prelu>);
  table.add("RealDiv", of_floats<&K::divide>);
  table.add("SquaredDifference", DM_ZIP(squared_difference));
  table.add("Sub", DM_ZIP(subtract));
}

}  // namespace dm::cpu
