// SPDX-License-Identifier: Apache-2.0
// What DmMlpBranch and DmMlpBranchGrad are given: packages/core/src/ops/mlp-branch.ts. Saved: mean and rstd, and the preactivation of
// fc1, of the type of the products.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/layer-norm-rows.h"
#include "core/matmul-description.h"

namespace dm {

/// numbers: [batch, tokens, width, hidden, epsilon, bfloat16, scaled].
struct MlpBranchSizes {
  std::int64_t batch, tokens, width, hidden;
  float epsilon;
  MatrixType type;
  bool scaled;

  explicit MlpBranchSizes(Arguments& in);

  std::int64_t rows() const { return batch * tokens; }
  std::int64_t size() const { return rows() * width; }
  std::int64_t hidden_size() const { return rows() * hidden; }
  std::int64_t weight_size() const { return hidden * width; }
  std::int64_t bytes(std::int64_t elements) const { return elements * bytes_of(type); }
  bool bfloat16() const { return type == MatrixType::kBFloat16; }
};

/// buffers: x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias, branchScale; y, mean, rstd, preactivation: [batch, tokens,
/// hidden] of the type of the products. branchScale is not read unless scaled.
struct MlpBranchArguments {
  Arguments in;
  MlpBranchSizes sizes;
  LayerNormRows norm;
  const float *fc1, *fc1_bias, *fc2, *fc2_bias, *factors;
  float *y, *mean, *rstd;
  std::byte* preactivation;

  explicit MlpBranchArguments(const OpArguments& arguments);
};

/// buffers: dy, x, normWeight, normBias, fc1Weight, fc2Weight, branchScale, mean, rstd, preactivation; dx, dNormWeight, dNormBias,
/// dFc1Weight, dFc1Bias, dFc2Weight, dFc2Bias.
struct MlpBranchGradArguments {
  Arguments in;
  MlpBranchSizes sizes;
  const float* dy;
  LayerNormRows norm;
  const float *fc1, *fc2, *factors, *mean, *rstd;
  std::byte* preactivation;  ///< only read
  float *dx, *d_norm_weight, *d_norm_bias, *d_fc1, *d_fc1_bias, *d_fc2, *d_fc2_bias;

  explicit MlpBranchGradArguments(const OpArguments& arguments);
};

}  // namespace dm
