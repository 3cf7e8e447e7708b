// SPDX-License-Identifier: Apache-2.0
// DmPackedAttention and DmPackedAttentionGrad, which the processor has no op for: attention in bfloat16 of projections where a product leaves
// them, without norm and projections around it. For programs over the C table, and to be timed beside PyTorch's.
//
// B batch, Q queries, K keys, C width. Everything but the table and log2 of the sums of powers is bfloat16.
#include <string>

#include "core/arguments.h"
#include "core/window-grid.h"
#include "cuda/attention.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// numbers: [batch, queries, keys, width, heads, cross, biased, rows, columns, a, b, down, right]; the last six are 0 without windows; keys
// are as many as queries unless cross; biases take windows.
constexpr std::size_t kNumbers = 13;

struct Sizes {
  std::int64_t batch, queries, keys, width, heads;
  bool cross, biased;
  WindowGrid windows;

  explicit Sizes(Arguments& in)
      : batch(in.count(0)),
        queries(in.count(1)),
        keys(in.count(2)),
        width(in.count(3)),
        heads(in.count(4)),
        cross(in.flag(5)),
        biased(in.flag(6)),
        windows(read_window_grid(in, 7, queries)) {
    in.elements({batch, queries, width, 3, sizeof(float)});
    in.elements({batch, keys, width, 2, sizeof(float)});
    if (in.ok() && (heads == 0 || width % heads != 0)) {
      in.fail("heads that divide the width", std::to_string(heads));
    }
    if (in.ok() && !cross && keys != queries) in.fail("as many keys as queries", std::to_string(keys));
    if (in.ok() && cross && windows.any()) in.fail("no windows with a context", "windows");
    if (in.ok() && biased && !windows.any()) in.fail("windows with biases", "none");
  }

  std::int64_t own() const { return batch * queries * width * (cross ? 1 : 3); }
  std::int64_t context() const { return cross ? batch * keys * width * 2 : 0; }
  std::int64_t table() const { return biased ? windows.table_rows() * heads : 0; }
  AttentionShape shape(const float* biases) const {
    return {batch, queries, keys, heads, width / heads, windows, biased ? biases : nullptr, true};
  }
};

/// Queries, keys and values: [B Q, 3 C], or cross [B Q, C] and [B K, 2 C].
struct Parts {
  TokenMatrix query, key, value;

  Parts(const Sizes& sizes, bf16* own, bf16* context)
      : query{own, sizes.cross ? sizes.width : 3 * sizes.width},
        key{sizes.cross ? context : own + sizes.width, sizes.cross ? 2 * sizes.width : query.stride},
        value{static_cast<bf16*>(key.data) + sizes.width, key.stride} {}
};

/// Reads two buffers from `first` on: projections of the tokens and, if cross, of the context.
Parts read_parts(Arguments& in, const Sizes& sizes, std::size_t first) {
  bf16* const own = in.buffer<bf16>(first, sizes.own());
  bf16* const context = in.buffer<bf16>(first + 1, sizes.context());
  return in.ok() ? Parts(sizes, own, context) : Parts(sizes, nullptr, nullptr);
}

// buffers: projected, projectedContext, relBias; y [B Q, C], logSums [B, H, Q]. Those that are not needed may be empty.
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmPackedAttention", arguments, 5, kNumbers);
  const Sizes sizes(in);
  const Parts parts = read_parts(in, sizes, 0);
  const float* table = in.buffer<const float>(2, sizes.table());
  bf16* y = in.buffer<bf16>(3, sizes.batch * sizes.queries * sizes.width);
  float* log_sums = in.buffer<float>(4, sizes.batch * sizes.heads * sizes.queries);
  if (!in.ok()) return in.status();
  return attention_forward(device, sizes.shape(table), parts.query, parts.key, parts.value,
                           {y, sizes.width}, log_sums);
}

// buffers: dy, projected, projectedContext, relBias, y, logSums; dProjected, dProjectedContext, dRelBias.
Status backward(Device& device, const OpArguments& arguments) {
  Arguments in("DmPackedAttentionGrad", arguments, 9, kNumbers);
  const Sizes sizes(in);
  const std::int64_t size = sizes.batch * sizes.queries * sizes.width;
  bf16* dy = in.buffer<bf16>(0, size);
  const Parts parts = read_parts(in, sizes, 1);
  const float* table = in.buffer<const float>(3, sizes.table());
  bf16* y = in.buffer<bf16>(4, size);
  const float* log_sums = in.buffer<const float>(5, sizes.batch * sizes.heads * sizes.queries);
  const Parts gradients = read_parts(in, sizes, 6);
  float* d_table = in.buffer<float>(8, sizes.table());
  if (!in.ok()) return in.status();
  const AttentionShape shape = sizes.shape(table);
  return attention_backward(device, shape, parts.query, parts.key, parts.value, {y, sizes.width},
                            {dy, sizes.width}, log_sums,
                            {gradients.query, gradients.key, gradients.value, d_table},
                            device.scratch(attention_backward_scratch(shape)));
}

}  // namespace

void register_attention_packed(DeviceOpTable& table) {
  table.add("DmPackedAttention", forward);
  table.add("DmPackedAttentionGrad", backward);
}

}  // namespace dm::cuda
