// SPDX-License-Identifier: Apache-2.0
// Rows of the exact GELU and its gradient.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct GeluKernels {
  void (*value)(const float* x, float* y, std::int64_t count);
  /// dx = dy * slope(x); dx may be the block of dy or x.
  void (*gradient)(const float* dy, const float* x, float* dx, std::int64_t count);
};

DM_PER_ISA(GeluKernels, kGelu)

}  // namespace dm::cpu
