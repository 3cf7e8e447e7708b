// SPDX-License-Identifier: Apache-2.0
// Rows around the matrix products of a transformer block: layer normalization, its gradient with the residual, scaling.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// Parameters of a layer normalization, and the width they have.
struct NormRow {
  const float* weight;
  const float* bias;
  std::int64_t width;
  float epsilon;
};

/// Rows written as bfloat16 where `bfloat16` says so.
struct BranchKernels {
  /// y = (x - mean) rstd weight + bias; writes mean and rstd of the row.
  void (*normalize)(const NormRow& norm, const float* x, void* y, bool bfloat16, float* mean,
                    float* rstd);
  /// The same y from a mean and rstd that are known.
  void (*normalize_again)(const NormRow& norm, const float* x, float mean, float rstd, void* y,
                          bool bfloat16);
  /// dx = residual + the gradient of `normalize` for dy; adds the row's part to d_weight and d_bias.
  void (*normalize_gradient)(const NormRow& norm, const float* dy, const float* x, float mean,
                             float rstd, const float* residual, float* dx, float* d_weight,
                             float* d_bias);
  /// y[i] = factor * x[i].
  void (*scale)(const float* x, float factor, void* y, bool bfloat16, std::int64_t count);
};

DM_PER_ISA(BranchKernels, kBranch)

}  // namespace dm::cpu
