// SPDX-License-Identifier: Apache-2.0
// What DmAttentionBranch and DmAttentionBranchGrad are given: packages/core/src/ops/attention-branch.ts. Saved: mean and rstd [R]; log2 of
// the sums of powers; and, of the type of the products, the attended rows [R, C] and the projections [R, 3C] (cross: [R, C], and [B K, 2C]
// of the context). R rows of x, C width, B samples, K rows of context each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/layer-norm-rows.h"
#include "core/matmul-description.h"
#include "core/window-grid.h"

namespace dm {

/// numbers: [batch, tokens, contextTokens, width, heads, epsilon, bfloat16, scaled, cross, biased, rows, columns, a, b, down, right];
/// the last six are 0 without windows, contextTokens is 0 unless cross.
struct AttentionBranchSizes {
  std::int64_t batch, tokens, context_tokens, width, heads;
  float epsilon;
  MatrixType type;
  bool scaled, cross, biased;
  WindowGrid windows;

  explicit AttentionBranchSizes(Arguments& in);

  std::int64_t rows() const { return batch * tokens; }
  std::int64_t context_rows() const { return cross ? batch * context_tokens : 0; }
  std::int64_t size() const { return rows() * width; }
  std::int64_t context_size() const { return context_rows() * width; }
  /// Columns of the projection of x.
  std::int64_t projected() const { return cross ? width : 3 * width; }
  /// Columns of the projection of the context.
  std::int64_t kv_width() const { return cross ? 2 * width : 0; }
  std::int64_t keys() const { return cross ? context_tokens : tokens; }
  std::int64_t head_width() const { return width / heads; }
  std::int64_t table_size() const { return windows.table_rows() * heads; }
  std::int64_t bytes(std::int64_t elements) const { return elements * bytes_of(type); }
  bool bfloat16() const { return type == MatrixType::kBFloat16; }
};

/// buffers: x, normWeight, normBias, qWeight (q, k, v; cross: q), qBias, projWeight, projBias, context, kvWeight, kvBias, relBias,
/// branchScale; y, mean, rstd, attended, logSums, projected, and projectedContext when cross.
struct AttentionBranchArguments {
  Arguments in;
  AttentionBranchSizes sizes;
  LayerNormRows norm;
  const float *q, *q_bias, *proj, *proj_bias, *context, *kv, *kv_bias, *table, *factors;
  float *y, *mean, *rstd;
  std::byte* attended;
  float* log_sums;
  std::byte *projected, *projected_context;

  explicit AttentionBranchArguments(const OpArguments& arguments);
};

/// buffers: dy, x, normWeight, normBias, qWeight, projWeight, context, kvWeight, relBias, branchScale, mean, rstd, attended, logSums,
/// projected, and projectedContext when cross; dx, dNormWeight, dNormBias, dQWeight, dQBias, dProjWeight, dProjBias, then dRelBias
/// when biased, or dKvWeight, dKvBias, dContext when cross.
struct AttentionBranchGradArguments {
  Arguments in;
  AttentionBranchSizes sizes;
  const float* dy;
  LayerNormRows norm;
  const float *q, *proj, *context, *kv, *table, *factors, *mean, *rstd;
  std::byte* attended;  ///< only read, as are the projections
  const float* log_sums;
  std::byte *projected, *projected_context;
  float *dx, *d_norm_weight, *d_norm_bias, *d_q, *d_q_bias, *d_proj, *d_proj_bias;
  float *d_table, *d_kv, *d_kv_bias, *d_context;

  explicit AttentionBranchGradArguments(const OpArguments& arguments);
};

}  // namespace dm
