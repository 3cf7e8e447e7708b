// SPDX-License-Identifier: Apache-2.0
// Places of maxima and minima. The first of equals; a NaN is passed over, unless it comes first:
// then nothing is greater or smaller.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

template <typename T>
struct ArgKernels {
  /// The place in a row of count >= 1 elements.
  std::int32_t (*row)(const T* x, std::int64_t count);
  /// place[i] of x[i], x[stride + i], … over rows >= 1 rows, for 0 <= i < count; `best` is scratch.
  void (*rows)(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t count, T* best,
               std::int32_t* place);
};

struct ArgReduceKernels {
  ArgKernels<float> max, min;
  ArgKernels<std::int32_t> max_int, min_int;
  ArgKernels<std::uint8_t> max_bool, min_bool;
};

DM_PER_ISA(ArgReduceKernels, kArgReduce)

}  // namespace dm::cpu
