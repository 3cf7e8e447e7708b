// SPDX-License-Identifier: Apache-2.0
// Folds: many elements to one, or many rows to one row. The order of the operations depends on the
// counts alone.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// Of elements T, in accumulators A.
template <typename T, typename A>
struct FoldKernels {
  /// All of `count` elements.
  A (*row)(const T* x, std::int64_t count);
  /// into[i] = f(into[i], x[i], x[stride + i], …) over `rows` rows, for 0 <= i < count.
  void (*rows)(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t count, A* into);
};

struct ReduceKernels {
  FoldKernels<float, double> sum, product;
  FoldKernels<float, float> max, min;                                 ///< NaN if any is
  FoldKernels<std::int32_t, std::int32_t> max_int, min_int, sum_int;  ///< the sum wraps around
  FoldKernels<std::int32_t, double> product_int;
  FoldKernels<std::uint8_t, std::uint8_t> max_bool, min_bool;
};

DM_PER_ISA(ReduceKernels, kReduce)

}  // namespace dm::cpu
