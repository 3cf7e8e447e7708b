// SPDX-License-Identifier: Apache-2.0
// What the ops attentionBranch and mlpBranch share: the rows around their products, on the pool.
#pragma once

#include <cstdint>

#include "core/layer-norm-rows.h"
#include "cpu/matmul.h"
#include "cpu/scratch.h"

namespace dm::cpu {

/// y [rows, width] of the type, and mean and rstd [rows].
void normalize_rows(const LayerNormRows& norm, void* y, MatrixType type, float* mean, float* rstd);
/// The same y, from the statistics.
void normalize_rows_again(const LayerNormRows& norm, const float* mean, const float* rstd, void* y,
                          MatrixType type);
/// dx = residual + the gradient; d_weight and d_bias are overwritten.
void normalize_rows_gradient(const LayerNormRows& norm, const float* dy, const float* mean,
                             const float* rstd, const float* residual, float* dx, float* d_weight,
                             float* d_bias);

/// The gradient of a branch from that of its sum with x: times the factors of the samples, if any, in the type of the products.
class BranchGradient {
 public:
  BranchGradient(const float* dy, const float* factors, std::int64_t samples,
                 std::int64_t sample_size, MatrixType type);
  const void* data() const { return data_; }
  /// [width]: sums of the columns; from float32 values where there are some.
  void column_sums_to(float* sums, std::int64_t rows, std::int64_t width) const;

 private:
  const void* data_;
  const float* unscaled_;
  MatrixType type_;
  Scratch<std::byte> scratch_;
};

}  // namespace dm::cpu
