// SPDX-License-Identifier: Apache-2.0
// Sums of squares.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct GlobalNormKernels {
  /// In float32 over runs of 1024 elements, in float64 over the runs.
  double (*sum_of_squares)(const float* x, std::int64_t count);
};

DM_PER_ISA(GlobalNormKernels, kGlobalNorm)

}  // namespace dm::cpu
