// SPDX-License-Identifier: Apache-2.0
// What DmAttention and DmAttentionGrad are given: packages/core/src/ops/attention.ts. All float32, whatever the precision. Saved: the output, and
// log2 of the sums of powers, [batch, windows, heads, queries].
#pragma once

#include <cstdint>

#include "core/arguments.h"
#include "core/window-grid.h"

namespace dm {

/// numbers: [batch, queries, keys, width, heads, biased, rows, columns, a, b, down, right]; the last six are 0 without windows; biases take
/// windows.
struct AttentionSizes {
  std::int64_t batch, queries, keys, width, heads;
  bool biased;
  WindowGrid windows;

  explicit AttentionSizes(Arguments& in);

  std::int64_t query_size() const { return batch * queries * width; }
  std::int64_t key_size() const { return batch * keys * width; }
  std::int64_t table_size() const { return windows.table_rows() * heads; }
  std::int64_t log_sums() const { return batch * queries * heads; }
  std::int64_t head_width() const { return width / heads; }
};

/// buffers: query, key, value, relBias; y, logSums.
struct AttentionArguments {
  Arguments in;
  AttentionSizes sizes;
  const float *query, *key, *value, *table;  ///< no table unless biased
  float *y, *log_sums;

  explicit AttentionArguments(const OpArguments& arguments);
};

/// buffers: dy, query, key, value, relBias, y, logSums; dQuery, dKey, dValue, and dRelBias when biased.
struct AttentionGradArguments {
  Arguments in;
  AttentionSizes sizes;
  const float *dy, *query, *key, *value, *table, *y, *log_sums;
  float *d_query, *d_key, *d_value, *d_table;

  explicit AttentionGradArguments(const OpArguments& arguments);
};

}  // namespace dm
