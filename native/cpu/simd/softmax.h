// SPDX-License-Identifier: Apache-2.0
// Rows of softmax.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct SoftmaxKernels {
  /// y = e^(x - max x) / sum of these, for a row of count >= 1; NaN throughout if any is or the
  /// greatest is infinite. x and y may be one.
  void (*row)(const float* x, float* y, std::int64_t count);
  /// dx = y (dy - sum of dy y); dx may be dy.
  void (*gradient)(const float* dy, const float* y, float* dx, std::int64_t count);
};

DM_PER_ISA(SoftmaxKernels, kSoftmax)

}  // namespace dm::cpu
