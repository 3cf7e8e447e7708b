// SPDX-License-Identifier: Apache-2.0
// The gradients of attention within windows of 16 tokens: one warp a window and head, all in registers (attention-window.cuh). The gradient of
// the table is added up over the windows of a warp, then over the warps of a block, and by add_partials over the blocks, each in order.
#pragma once

#include "cuda/attention-window.cuh"

namespace dm::cuda {

struct WindowBackward {
  WindowInputs in;
  Bf16Rows output;           ///< [B grid, H D]
  Bf16Rows output_gradient;  ///< [B grid, H D]
  const float* log_sums;     ///< [B, W, H, 16]
  Bf16Rows d_query;          ///< [B grid, H D]
  Bf16Rows d_key;            ///< [B grid, H D]
  Bf16Rows d_value;          ///< [B grid, H D]
  float* d_table;            ///< [P, table rows, H], or null
};

/// Bytes of shared memory: dS summed over windows of every warp, [slots, heads, 16, 16].
constexpr std::size_t kWindowBackwardShared =
    static_cast<std::size_t>(kWindowSlots * kWindowHeads) * kWindowTokens * kWindowTokens * sizeof(float);

/// rowsum(left right) of the lane's two rows.
template <int kWidth>
DM_DEVICE void row_products(float (&sums)[2], const WindowRows<kWidth>& left,
                            const WindowRows<kWidth>& right) {
  DM_UNROLL
  for (int r = 0; r < 2; ++r) {
    float sum = 0;
    DM_UNROLL
    for (int chunk = 0; chunk < kWidth / 32; ++chunk) {
      DM_UNROLL
      for (int word = 0; word < 4; ++word) {
        const std::uint32_t x = left.of[chunk][r].at[word];
        const std::uint32_t y = right.of[chunk][r].at[word];
        sum = fmaf(low_bf16(x), low_bf16(y), sum);
        sum = fmaf(high_bf16(x), high_bf16(y), sum);
      }
    }
    sums[r] = quad_sum(sum);
  }
}

/// The fragment A of pairs transposed.
DM_DEVICE void transpose_fragment(std::uint32_t (&to)[4], const std::uint32_t (&from)[4]) {
  to[0] = transpose_tile(from[0]);
  to[1] = transpose_tile(from[2]);
  to[2] = transpose_tile(from[1]);
  to[3] = transpose_tile(from[3]);
}

/// Rows of the table from the sums of pairs of a block's warps: one thread a row and head.
DM_DEVICE void write_table_part(const WindowBackward& p, const float* pairs, int first_head,
                                int part) {
  const WindowGrid& grid = p.in.grid;
  for (int i = thread_index(); i < grid.table_rows() * kWindowHeads; i += kWindowThreads) {
    const int head = i % kWindowHeads;
    const int entry = i / kWindowHeads;
    if (first_head + head >= p.in.heads) continue;
    float sum = 0;
    for (int slot = 0; slot < kWindowSlots; ++slot) {
      const float* const own =
          pairs + (slot * kWindowHeads + head) * kWindowTokens * kWindowTokens;
      for (int query = 0; query < kWindowTokens; ++query) {
        const int row = query / grid.b - (entry / grid.offsets_across() - (grid.a - 1));
        const int column = query % grid.b - (entry % grid.offsets_across() - (grid.b - 1));
        if (row < 0 || row >= grid.a || column < 0 || column >= grid.b) continue;
        sum += own[query * kWindowTokens + row * grid.b + column];
      }
    }
    p.d_table[(static_cast<std::int64_t>(part) * grid.table_rows() + entry) * p.in.heads +
              first_head + head] = sum;
  }
}

/// One warp a head of some windows: block [parts, groups of heads].
template <int kWidth>
DM_KERNEL(kWindowThreads, kWidth == 32 ? 2 : 1)
attention_window_backward(WindowBackward p) {
  const WindowPlace place(p.in);
  const int lane = thread_index() % kWarp;
  const bool there = place.head < p.in.heads;
  WindowPairs biases = {};
  if (there) read_biases(biases, p.in, place.head);
  WindowPairs table_sums = {};
  for (std::int64_t sequence = place.first; there && sequence < p.in.sequences;
       sequence += place.step) {
    const WindowTokens tokens(p.in.grid, sequence);
    WindowRows<kWidth> gradient;
    gradient.read(p.output_gradient, tokens, place.head);
    float delta[2];
    {
      WindowRows<kWidth> output;
      output.read(p.output, tokens, place.head);
      row_products(delta, gradient, output);
    }
    WindowRows<kWidth> query;
    WindowRows<kWidth> key;
    query.read(p.in.query, tokens, place.head);
    key.read(p.in.key, tokens, place.head);
    WindowPairs scores;
    multiply_rows(scores, query, key);
    finish_scores(scores, biases, p.in, sequence);
    WindowPairs d_scores;
    {
      WindowRows<kWidth> value;
      value.read(p.in.value, tokens, place.head);
      multiply_rows(d_scores, gradient, value);
    }
    const float* const log_sums =
        p.log_sums + (sequence * p.in.heads + place.head) * kWindowTokens + lane / 4;
    const float log_sum[2] = {log_sums[0], log_sums[8]};
    for_pairs([&](int tile, int e, int, int) {
      scores[tile][e] = exp2_fast(scores[tile][e] - log_sum[e / 2]);
      d_scores[tile][e] = scores[tile][e] * (d_scores[tile][e] - delta[e / 2]);
      table_sums[tile][e] += d_scores[tile][e];
    });
    std::uint32_t fragment[4];
    std::uint32_t transposed[4];
    WindowRows<kWidth> result;
    pack_fragment(fragment, scores[0], scores[1]);
    transpose_fragment(transposed, fragment);
    result.set_weighted(transposed, gradient, 1.0f, 1.0f);
    result.write(p.d_value, tokens, place.head);
    pack_fragment(fragment, d_scores[0], d_scores[1]);
    result.set_weighted(fragment, key, p.in.scale, p.in.scale);
    result.write(p.d_query, tokens, place.head);
    transpose_fragment(transposed, fragment);
    result.set_weighted(transposed, query, p.in.scale, p.in.scale);
    result.write(p.d_key, tokens, place.head);
  }
  if (p.d_table == nullptr) return;
  auto* const pairs = reinterpret_cast<float*>(shared_memory());
  for_pairs([&](int tile, int e, int query, int key) {
    pairs[(thread_index() / kWarp * kWindowTokens + query) * kWindowTokens + key] =
        table_sums[tile][e];
  });
  block_sync();
  write_table_part(p, pairs, place.head - thread_index() / kWarp % kWindowHeads, place.part);
}

}  // namespace dm::cuda
