// SPDX-License-Identifier: Apache-2.0
// Multi-head attention of projected queries, keys and values, and its gradient.
#include "core/attention-arguments.h"
#include "cpu/attention-core.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

/// Rows of float32.
TokenMatrix rows(const float* data, const AttentionSizes& sizes) {
  return read_only(data, sizes.width, false);
}

AttentionShape shape_of(const AttentionSizes& sizes, const WindowPlan& windows, const float* table) {
  return {sizes.batch, sizes.queries, sizes.keys, sizes.heads, sizes.head_width(), &windows, table};
}

Status attention(const OpArguments& arguments) {
  const AttentionArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const WindowPlan windows(a.sizes.windows);
  return attention_forward(shape_of(a.sizes, windows, a.table), rows(a.query, a.sizes),
                           rows(a.key, a.sizes), rows(a.value, a.sizes), rows(a.y, a.sizes),
                           a.log_sums);
}

Status attention_grad(const OpArguments& arguments) {
  const AttentionGradArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const WindowPlan windows(a.sizes.windows);
  const auto matrix = [&](const float* data) { return rows(data, a.sizes); };
  return attention_backward(shape_of(a.sizes, windows, a.table), matrix(a.query), matrix(a.key),
                            matrix(a.value), matrix(a.y), matrix(a.dy), a.log_sums,
                            {matrix(a.d_query), matrix(a.d_key), matrix(a.d_value), a.d_table});
}

}  // namespace

void register_attention(OpTable& table) {
  table.add("DmAttention", attention);
  table.add("DmAttentionGrad", attention_grad);
}

}  // namespace dm::cpu
