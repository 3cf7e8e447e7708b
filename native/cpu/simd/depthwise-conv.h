// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions: sums over the taps of a window, for all channels of one place.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct DepthwiseConvKernels {
  /// y[i] = x[0][i] * w[0][i] + x[1][i] * w[1][i] + … for 0 <= i < count; 0 for no taps.
  void (*weigh)(const float* const* x, const float* const* w, std::int64_t taps, float* y,
                std::int64_t count);
  /// sums[i] += x[i] * y[i].
  void (*multiply_add)(const float* x, const float* y, float* sums, std::int64_t count);
};

DM_PER_ISA(DepthwiseConvKernels, kDepthwiseConv)

}  // namespace dm::cpu
