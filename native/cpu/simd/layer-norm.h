// SPDX-License-Identifier: Apache-2.0
// Rows of layer normalization.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct LayerNormKernels {
  /// y = (x - mean) * rstd * weight + bias of one row; writes its mean and rstd = 1 / sqrt(biased variance + epsilon).
  void (*forward)(const float* x, const float* weight, const float* bias, float epsilon,
                  std::int64_t width, float* y, float* mean, float* rstd);
  /// dx of one row; d_weight and d_bias += what the row adds to them. dx may be the block of dy or x.
  void (*backward)(const float* dy, const float* x, const float* weight, float mean, float rstd,
                   std::int64_t width, float* dx, float* d_weight, float* d_bias);
};

DM_PER_ISA(LayerNormKernels, kLayerNorm)

}  // namespace dm::cpu
