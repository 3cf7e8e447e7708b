// SPDX-License-Identifier: Apache-2.0
// Multi-head attention of projected queries, keys and values, and its gradient. Saved: the output, and log2 of the sums of powers,
// [batch, windows, heads, queries].
#include <string>

#include "core/arguments.h"
#include "cpu/attention-core.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

struct Sizes {
  std::int64_t batch, queries, keys, width, heads;
  bool biased;
  WindowPlan windows;

  explicit Sizes(Arguments& in)
      : batch(in.count(0)),
        queries(in.count(1)),
        keys(in.count(2)),
        width(in.count(3)),
        heads(in.count(4)),
        biased(in.flag(5)),
        windows(read_window_plan(in, 6, queries)) {
    in.elements({batch, queries, width, sizeof(float)});
    in.elements({batch, keys, width, sizeof(float)});
    if (in.ok() && (heads == 0 || width % heads != 0)) {
      in.fail("heads that divide the width", std::to_string(heads));
    }
    if (in.ok() && windows.windows > 0 && keys != queries) {
      in.fail("as many keys as queries with windows", std::to_string(keys));
    }
    if (in.ok() && biased && windows.windows == 0) in.fail("windows with biases", "none");
  }

  std::int64_t query_size() const { return batch * queries * width; }
  std::int64_t key_size() const { return batch * keys * width; }
  AttentionShape shape(const float* table) const {
    return {batch, queries, keys, heads, heads == 0 ? 0 : width / heads, &windows, table};
  }
  TokenMatrix rows(const float* data) const { return read_only(data, width, false); }
};

// buffers: query, key, value, relBias; y, logSums. numbers: [batch, queries, keys, width, heads, biased, rows, columns, a, b, down,
// right]; the last six are 0 without windows; relBias is read when biased, which takes windows. All float32, whatever the precision.
Status attention(const OpArguments& arguments) {
  Arguments in("DmAttention", arguments, 6, 12);
  const Sizes sizes(in);
  const float* query = in.buffer<const float>(0, sizes.query_size());
  const float* key = in.buffer<const float>(1, sizes.key_size());
  const float* value = in.buffer<const float>(2, sizes.key_size());
  const float* table =
      sizes.biased ? in.buffer<const float>(3, sizes.windows.table_rows * sizes.heads) : nullptr;
  float* y = in.buffer<float>(4, sizes.query_size());
  float* log_sums = in.buffer<float>(5, sizes.batch * sizes.queries * sizes.heads);
  if (!in.ok()) return in.status();
  return attention_forward(sizes.shape(table), sizes.rows(query), sizes.rows(key),
                           sizes.rows(value), sizes.rows(y), log_sums);
}

// buffers: dy, query, key, value, relBias, y, logSums; dQuery, dKey, dValue, and dRelBias when biased. numbers: as DmAttention.
Status attention_grad(const OpArguments& arguments) {
  const bool biased = arguments.number_count > 5 && arguments.numbers[5] != 0;
  Arguments in("DmAttentionGrad", arguments, biased ? 11 : 10, 12);
  const Sizes sizes(in);
  const float* dy = in.buffer<const float>(0, sizes.query_size());
  const float* query = in.buffer<const float>(1, sizes.query_size());
  const float* key = in.buffer<const float>(2, sizes.key_size());
  const float* value = in.buffer<const float>(3, sizes.key_size());
  const std::int64_t table_size = sizes.windows.table_rows * sizes.heads;
  const float* table = sizes.biased ? in.buffer<const float>(4, table_size) : nullptr;
  const float* y = in.buffer<const float>(5, sizes.query_size());
  const float* log_sums = in.buffer<const float>(6, sizes.batch * sizes.queries * sizes.heads);
  float* d_query = in.buffer<float>(7, sizes.query_size());
  float* d_key = in.buffer<float>(8, sizes.key_size());
  float* d_value = in.buffer<float>(9, sizes.key_size());
  float* d_table = sizes.biased ? in.buffer<float>(10, table_size) : nullptr;
  if (!in.ok()) return in.status();
  return attention_backward(
      sizes.shape(table), sizes.rows(query), sizes.rows(key), sizes.rows(value), sizes.rows(y),
      sizes.rows(dy), log_sums,
      {sizes.rows(d_query), sizes.rows(d_key), sizes.rows(d_value), d_table});
}

}  // namespace

void register_attention(OpTable& table) {
  table.add("DmAttention", attention);
  table.add("DmAttentionGrad", attention_grad);
}

}  // namespace dm::cpu
