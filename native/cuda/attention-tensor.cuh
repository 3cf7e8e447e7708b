// SPDX-License-Identifier: Apache-2.0
// The forward pass of attention in bfloat16 by tensor cores, head widths 32 and 64 [FlashAttention-2, arXiv 2307.08691 §3.1]: four warps share
// a tile of queries by rows, tiles of 64 keys go past them through two buffers, and a row's softmax is kept by its greatest score and sum.
// Rows and keys of the last tiles that are not there cost nothing past 16. Layouts of fragments: core/simt.cuh.
//
// B batch, H heads, Q queries, K keys, D head width.
#pragma once

#include "core/window-grid.h"
#include "cuda/shared-rows.cuh"

namespace dm::cuda {

constexpr int kTensorWarps = 4;  // of the forward pass
constexpr int kTensorKeys = 64;  // of a tile

struct TensorForward {
  Bf16Rows query;   ///< [B Q, H D]
  Bf16Rows key;     ///< [B K, H D]
  Bf16Rows value;   ///< [B K, H D]
  Bf16Rows output;  ///< [B Q, H D]
  float* log_sums;  ///< [B, H, Q]: log2 of the sums of powers
  int queries, keys, heads;
  float scale;  ///< log2(e) / sqrt(D)
};

/// Bytes of shared memory: queries, and two tiles each of keys and values.
template <int kWidth, int kQueries>
constexpr std::size_t tensor_forward_shared() {
  return (kQueries + 4 * kTensorKeys) * kWidth * sizeof(bf16);
}

/// A warp's rows: sums of weighted values, greatest scores and sums of powers (of the lane's part of the keys until the end).
template <int kEach, int kWidth>
struct SoftmaxRows {
  float sums[kEach][kWidth / 8][4];
  float greatest[kEach][2];
  float total[kEach][2];

  DM_DEVICE void clear() {
    DM_UNROLL
    for (int i = 0; i < kEach; ++i) {
      DM_UNROLL
      for (int j = 0; j < kWidth / 8; ++j) {
        DM_UNROLL
        for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
      }
      DM_UNROLL
      for (int r = 0; r < 2; ++r) {
        greatest[i][r] = -INFINITY;
        total[i][r] = 0;
      }
    }
  }

  /// Turns the scores of `live` keys of a tile into powers and fades what was summed before.
  DM_DEVICE void take(float (&scores)[kEach][kTensorKeys / 8][4], int live, float scale) {
    DM_UNROLL
    for (int i = 0; i < kEach; ++i) {
      DM_UNROLL
      for (int r = 0; r < 2; ++r) {
        float most = greatest[i][r];
        DM_UNROLL
        for (int j = 0; j < kTensorKeys / 8; ++j) {
          most = fmaxf(most, fmaxf(scores[i][j][2 * r], scores[i][j][2 * r + 1]));
        }
        most = fmaxf(most, shuffle_xor(most, 1));
        most = fmaxf(most, shuffle_xor(most, 2));
        const float faded = exp2_fast((greatest[i][r] - most) * scale);
        const float shift = most * scale;
        greatest[i][r] = most;
        float sum = 0;
        DM_UNROLL
        for (int j = 0; j < kTensorKeys / 8; ++j) {
          if (j / 2 * 16 >= live) continue;
          DM_UNROLL
          for (int e = 2 * r; e < 2 * r + 2; ++e) {
            scores[i][j][e] = exp2_fast(fmaf(scores[i][j][e], scale, -shift));
            sum += scores[i][j][e];
          }
        }
        total[i][r] = fmaf(total[i][r], faded, sum);
        DM_UNROLL
        for (int j = 0; j < kWidth / 8; ++j) {
          sums[i][j][2 * r] *= faded;
          sums[i][j][2 * r + 1] *= faded;
        }
      }
    }
  }
};

template <int kEach>
using TensorScores = float[kEach][kTensorKeys / 8][4];

/// scores = the warp's queries · 64 keys transposed, of which `live` are there; -infinity for the others of the last 16.
template <int kEach, int kWidth>
DM_DEVICE void multiply_keys(TensorScores<kEach>& scores,
                             const std::uint32_t (&queries)[kEach][kWidth / 16][4],
                             std::uint32_t key_columns, int live) {
  DM_UNROLL
  for (int j = 0; j < kTensorKeys / 8; ++j) {
    DM_UNROLL
    for (int e = 0; e < 4; ++e) {
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) scores[i][j][e] = 0;
    }
  }
  DM_UNROLL
  for (int k = 0; k < kWidth / 16; ++k) {
    DM_UNROLL
    for (int j = 0; j < kTensorKeys / 8; j += 2) {
      if (j * 8 >= live) continue;
      std::uint32_t keys[4];
      load_matrix(keys, SharedRows<kWidth>::further(key_columns, j * 8, 2 * k));
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) {
        mma_m16n8k16(scores[i][j], queries[i][k], keys[0], keys[1]);
        mma_m16n8k16(scores[i][j + 1], queries[i][k], keys[2], keys[3]);
      }
    }
  }
  if (live >= kTensorKeys) return;
  DM_UNROLL
  for (int j = 0; j < kTensorKeys / 8; ++j) {
    DM_UNROLL
    for (int e = 0; e < 4; ++e) {
      if (j * 8 + thread_index() % 4 * 2 + e % 2 < live) continue;
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) scores[i][j][e] = -INFINITY;
    }
  }
}

/// sums += powers · values of 64 keys, of which `live` are there.
template <int kEach, int kWidth>
DM_DEVICE void add_values(float (&sums)[kEach][kWidth / 8][4], const TensorScores<kEach>& powers,
                          std::uint32_t value_rows, int live) {
  DM_UNROLL
  for (int k = 0; k < kTensorKeys / 16; ++k) {
    if (k * 16 >= live) continue;
    std::uint32_t weights[kEach][4];
    DM_UNROLL
    for (int i = 0; i < kEach; ++i) pack_fragment(weights[i], powers[i][2 * k], powers[i][2 * k + 1]);
    DM_UNROLL
    for (int j = 0; j < kWidth / 8; j += 2) {
      std::uint32_t values[4];
      load_matrix_transposed(values, SharedRows<kWidth>::further(value_rows, k * 16, j));
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) {
        mma_m16n8k16(sums[i][j], weights[i], values[0], values[1]);
        mma_m16n8k16(sums[i][j + 1], weights[i], values[2], values[3]);
      }
    }
  }
}

/// Log sums and output of the warp's rows from `own` on: through its own rows of the queries in shared memory, which nobody reads any more,
/// to whole lines. `output` is the head's first row, `log_sums` its [Q].
template <int kEach, int kWidth>
DM_DEVICE void write_softmax(const SoftmaxRows<kEach, kWidth>& rows, const TensorForward& p,
                             unsigned char* queries, int own, int first_query, bf16* output,
                             float* log_sums) {
  using Rows = SharedRows<kWidth>;
  const int lane = thread_index() % kWarp;
  DM_UNROLL
  for (int i = 0; i < kEach; ++i) {
    DM_UNROLL
    for (int r = 0; r < 2; ++r) {
      float total = rows.total[i][r];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      const int row = own + 16 * i + lane / 4 + 8 * r;
      if (lane % 4 == 0 && first_query + row < p.queries) {
        log_sums[first_query + row] = fmaf(rows.greatest[i][r], p.scale, log2f(total));
      }
      const float part = 1.0f / total;
      DM_UNROLL
      for (int j = 0; j < kWidth / 8; ++j) {
        *reinterpret_cast<std::uint32_t*>(queries + Rows::offset(row, j) + lane % 4 * 4) =
            pack_bf16(rows.sums[i][j][2 * r] * part, rows.sums[i][j][2 * r + 1] * part);
      }
    }
  }
  warp_sync();
  DM_UNROLL
  for (int i = lane; i < 16 * kEach * Rows::kParts; i += kWarp) {
    const int row = own + i / Rows::kParts;
    const int part = i % Rows::kParts;
    if (first_query + row >= p.queries) continue;
    write_four(reinterpret_cast<std::uint32_t*>(output + (first_query + row) * p.output.stride + part * 8),
               read_four(reinterpret_cast<const std::uint32_t*>(queries + Rows::offset(row, part))));
  }
}

/// One block a tile of queries of one head: block [B, H, tiles].
template <int kWidth, int kQueries>
DM_KERNEL(kTensorWarps* kWarp, kQueries == 64 ? 3 : 2)
attention_tensor_forward(TensorForward p) {
  using Rows = SharedRows<kWidth>;
  constexpr int kThreads = kTensorWarps * kWarp;
  constexpr int kEach = kQueries / (16 * kTensorWarps);
  constexpr std::uint32_t kKeyBytes = kTensorKeys * kWidth * sizeof(bf16);
  const std::uint32_t shared_query = shared_address(shared_memory());
  const std::uint32_t shared_key = shared_query + kQueries * kWidth * sizeof(bf16);
  const std::uint32_t shared_value = shared_key + 2 * kKeyBytes;
  const int tiles = (p.queries + kQueries - 1) / kQueries;
  const int first_query = block_index() % tiles * kQueries;
  const int item = block_index() / tiles;
  const std::int64_t sample = item / p.heads;
  const int column = item % p.heads * kWidth;
  const bf16* const key = p.key.data + sample * p.keys * p.key.stride + column;
  const bf16* const value = p.value.data + sample * p.keys * p.value.stride + column;
  const int own = thread_index() / kWarp * 16 * kEach;  // the warp's first row of the tile
  const bool idle = first_query + own >= p.queries;

  Rows::template copy<kQueries, kThreads>(
      shared_query, p.query.data + sample * p.queries * p.query.stride + column, p.query.stride,
      first_query, p.queries);
  Rows::template copy<kTensorKeys, kThreads>(shared_key, key, p.key.stride, 0, p.keys);
  async_commit();
  Rows::template copy<kTensorKeys, kThreads>(shared_value, value, p.value.stride, 0, p.keys);
  async_commit();

  const std::uint32_t own_rows = Rows::rows16(shared_query, own);
  const std::uint32_t key_columns = Rows::columns16(shared_key, 0);
  const std::uint32_t value_rows = Rows::rows16(shared_value, 0);
  std::uint32_t queries[kEach][kWidth / 16][4];
  SoftmaxRows<kEach, kWidth> rows;
  rows.clear();
  for (int first_key = 0; first_key < p.keys; first_key += kTensorKeys) {
    const std::uint32_t now = static_cast<std::uint32_t>(first_key / kTensorKeys % 2) * kKeyBytes;
    const int next = first_key + kTensorKeys;
    async_wait<1>();
    block_sync();  // these keys are there, and nobody reads those before them
    if (next < p.keys) {
      Rows::template copy<kTensorKeys, kThreads>(shared_key + (kKeyBytes - now), key, p.key.stride,
                                                 next, p.keys);
    }
    async_commit();
    if (first_key == 0) {
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) {
        DM_UNROLL
        for (int k = 0; k < kWidth / 16; ++k) {
          load_matrix(queries[i][k], Rows::further(own_rows, 16 * i, 2 * k));
        }
      }
    }
    TensorScores<kEach> scores;
    if (!idle) {
      multiply_keys<kEach, kWidth>(scores, queries, key_columns + now, p.keys - first_key);
      rows.take(scores, p.keys - first_key, p.scale);
    }
    async_wait<1>();
    block_sync();  // these values are there, and nobody reads those before them
    if (next < p.keys) {
      Rows::template copy<kTensorKeys, kThreads>(shared_value + (kKeyBytes - now), value,
                                                 p.value.stride, next, p.keys);
    }
    async_commit();
    if (!idle) add_values<kEach, kWidth>(rows.sums, scores, value_rows + now, p.keys - first_key);
  }
  if (idle) return;
  write_softmax(rows, p, shared_memory(), own, first_query,
                p.output.data + sample * p.queries * p.output.stride + column,
                p.log_sums + static_cast<std::int64_t>(item) * p.queries);
}

}  // namespace dm::cuda
