// SPDX-License-Identifier: Apache-2.0
// Multi-head attention over a batch on a device, for the ops that contain one: heads are column blocks of matrices that stay where they are,
// so queries, keys and values may be parts of one packed projection. Contracts as cpu/attention-core.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/window-grid.h"
#include "cuda/core/device.h"

namespace dm::cuda {

/// Tokens of all samples, one after the other: row r at `stride` elements times r. Head h is columns [h D, (h + 1) D).
struct TokenMatrix {
  void* data;
  std::int64_t stride;
};

struct AttentionShape {
  std::int64_t batch;
  std::int64_t queries;  ///< of a sample; with windows the tokens of the grid, as many as keys
  std::int64_t keys;
  std::int64_t heads;
  std::int64_t head_width;
  WindowGrid windows;
  const float* table;  ///< [table_rows, heads] on the device, or null
  bool bfloat16;       ///< what every matrix is of; float32 otherwise. Products are of the same type

  /// Numbers in `log_sums`: log2 of the sums of powers, [batch, windows, heads, queries of a window].
  std::int64_t log_sums() const { return batch * queries * heads; }
};

/// output = softmax(query keyᵀ / sqrt(D) + bias) value. Overwrites output and log_sums. Uses no scratch.
Status attention_forward(Device& device, const AttentionShape& shape, const TokenMatrix& query,
                         const TokenMatrix& key, const TokenMatrix& value,
                         const TokenMatrix& output, float* log_sums);

struct AttentionGradients {
  TokenMatrix query, key, value;  ///< overwritten; they may be parts of one packed matrix
  float* table;                   ///< [table_rows, heads], overwritten; null without a table
};

/// Bytes that attention_backward works in.
std::size_t attention_backward_scratch(const AttentionShape& shape);

/// `scratch`: attention_backward_scratch(shape) bytes on the device, 256-byte aligned.
Status attention_backward(Device& device, const AttentionShape& shape, const TokenMatrix& query,
                          const TokenMatrix& key, const TokenMatrix& value,
                          const TokenMatrix& output, const TokenMatrix& output_gradient,
                          const float* log_sums, const AttentionGradients& gradients,
                          void* scratch);

}  // namespace dm::cuda
