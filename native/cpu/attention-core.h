// SPDX-License-Identifier: Apache-2.0
// Multi-head attention over a batch, for the ops that contain one: heads are column blocks of matrices that stay where they are.
#pragma once

#include <cstdint>

#include "cpu/window-plan.h"
#include "dm/status.h"

namespace dm::cpu {

/// Tokens of all samples, one after the other: row r at `stride` elements times r. Head h is columns [h D, (h + 1) D).
struct TokenMatrix {
  void* data;
  std::int64_t stride;
  bool bfloat16;
};

inline TokenMatrix read_only(const void* data, std::int64_t stride, bool bfloat16) {
  return {const_cast<void*>(data), stride, bfloat16};  // the kernels write to gradients and outputs alone
}

/// The columns from `first` on.
TokenMatrix columns_from(const TokenMatrix& matrix, std::int64_t first);

struct AttentionShape {
  std::int64_t batch;
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t heads;
  std::int64_t head_width;
  const WindowPlan* windows;  ///< of 0 windows: none
  const float* table;         ///< [table_rows, heads], or null

  std::int64_t width() const { return heads * head_width; }
  /// Numbers in `log_sums`; in the order [batch, windows, heads, queries of a window].
  std::int64_t log_sums() const { return batch * queries * heads; }
};

Status attention_forward(const AttentionShape& shape, const TokenMatrix& query,
                         const TokenMatrix& key, const TokenMatrix& value,
                         const TokenMatrix& output, float* log_sums);

struct AttentionGradients {
  TokenMatrix query, key, value;  ///< overwritten
  float* table;                   ///< overwritten; null without a table
};

Status attention_backward(const AttentionShape& shape, const TokenMatrix& query,
                          const TokenMatrix& key, const TokenMatrix& value,
                          const TokenMatrix& output, const TokenMatrix& output_gradient,
                          const float* log_sums, const AttentionGradients& gradients);

}  // namespace dm::cpu
