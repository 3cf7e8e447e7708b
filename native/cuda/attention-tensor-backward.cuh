// SPDX-License-Identifier: Apache-2.0
// The gradients of attention in bfloat16 by tensor cores. One block owns all keys of a head, in groups that fit on chip: its warps split the
// keys of a group and tiles of queries go past them. Scores are made transposed (keys by queries), so that weights and their gradients feed
// dV and dK from registers; the scores' gradient crosses shared memory once, for dQ. Every sum has one owner and one order: no atomics.
// With more than one group dQ is added up in float32 in scratch, by the same thread each time. Derivation: attention-tiles-backward.cuh.
//
// B batch, H heads, Q queries, K keys, D head width, G keys of a group at most.
#pragma once

#include "cuda/attention-tensor.cuh"

namespace dm::cuda {

struct TensorBackward {
  Bf16Rows query;            ///< [B Q, H D]
  Bf16Rows key;              ///< [B K, H D]
  Bf16Rows value;            ///< [B K, H D]
  Bf16Rows output_gradient;  ///< [B Q, H D]
  const float* log_sums;     ///< [B, H, Q]
  const float* delta;        ///< [B, H, Q]: rowsum(dO O)
  Bf16Rows d_query;          ///< [B Q, H D]
  Bf16Rows d_key;            ///< [B K, H D]
  Bf16Rows d_value;          ///< [B K, H D]
  float* d_query_sums;       ///< [B, H, Q, D], or null with one group
  int queries, keys, heads;
  int group;    ///< keys of a group: a multiple of 16, at most G
  float scale;  ///< 1 / sqrt(D)
};

/// Where the head of a block begins, in shared memory: it would take a third of the registers that are left.
struct TensorHead {
  const bf16 *query, *key, *value, *output_gradient;
  const float *log_sums, *delta;  ///< [Q]
  bf16 *d_query, *d_key, *d_value;
  float* d_query_sums;  ///< [Q, D], or null

  DM_DEVICE TensorHead(const TensorBackward& p, int width) {
    const int sample = block_index() / p.heads;
    const int column = block_index() % p.heads * width;
    const auto of = [&](const Bf16Rows& rows, int count) {
      return rows.data + static_cast<std::int64_t>(sample) * count * rows.stride + column;
    };
    query = of(p.query, p.queries);
    key = of(p.key, p.keys);
    value = of(p.value, p.keys);
    output_gradient = of(p.output_gradient, p.queries);
    d_query = of(p.d_query, p.queries);
    d_key = of(p.d_key, p.keys);
    d_value = of(p.d_value, p.keys);
    const std::int64_t row = static_cast<std::int64_t>(block_index()) * p.queries;
    log_sums = p.log_sums + row;
    delta = p.delta + row;
    d_query_sums = p.d_query_sums == nullptr ? nullptr : p.d_query_sums + row * width;
  }
};

/// What a block of the backward pass is cut into.
template <int kWidth_, int kWarps_, int kEach_, int kQueries_>
struct BackwardShape {
  static constexpr int kWidth = kWidth_;
  static constexpr int kWarps = kWarps_;
  static constexpr int kEach = kEach_;        // tiles of 16 keys of a warp
  static constexpr int kQueries = kQueries_;  // of a tile
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kKeys = 16 * kEach * kWarps;  // G
  static constexpr std::uint32_t kKeyBytes = kKeys * kWidth * sizeof(bf16);
  static constexpr std::uint32_t kQueryBytes = kQueries * kWidth * sizeof(bf16);
  // In shared memory: keys, values; two tiles each of queries and dO; dS [G, queries]; two tiles of log sums and deltas.
  static constexpr std::uint32_t kValue = kKeyBytes;
  static constexpr std::uint32_t kQuery = 2 * kKeyBytes;
  static constexpr std::uint32_t kGradient = kQuery + 2 * kQueryBytes;
  static constexpr std::uint32_t kScores = kGradient + 2 * kQueryBytes;
  static constexpr std::uint32_t kLogSums = kScores + kKeys * kQueries * sizeof(bf16);
  static constexpr std::uint32_t kDeltas = kLogSums + 2 * kQueries * sizeof(float);
  static constexpr std::uint32_t kHead = kDeltas + 2 * kQueries * sizeof(float);
  static constexpr std::size_t kSharedBytes = kHead + sizeof(TensorHead);
};

/// dV and dK of 16 keys of the warp take in a tile of queries; dS goes to shared memory. `own`: the first key's place in the group.
template <class Z>
DM_DEVICE void take_queries(const TensorBackward& p, unsigned char* memory, int stage, int own,
                            int keys, float (&d_key)[Z::kWidth / 8][4],
                            float (&d_value)[Z::kWidth / 8][4]) {
  using Rows = SharedRows<Z::kWidth>;
  using ScoreRows = SharedRows<Z::kQueries>;
  const std::uint32_t shared = shared_address(memory);
  const std::uint32_t query = shared + Z::kQuery + static_cast<std::uint32_t>(stage) * Z::kQueryBytes;
  const auto* const log_sums =
      reinterpret_cast<const float*>(memory + Z::kLogSums) + stage * Z::kQueries;
  const auto* const deltas =
      reinterpret_cast<const float*>(memory + Z::kDeltas) + stage * Z::kQueries;
  const int lane = thread_index() % kWarp;
  const std::uint32_t key_rows = Rows::rows16(shared, own);
  const std::uint32_t query_columns = Rows::columns16(query, 0);
  const std::uint32_t query_rows = Rows::rows16(query, 0);
  constexpr std::uint32_t kToGradient = Z::kGradient - Z::kQuery;
  float scores[Z::kQueries / 8][4] = {};
  float d_scores[Z::kQueries / 8][4] = {};
  DM_ROLLED
  for (int k = 0; k < Z::kWidth / 16; ++k) {
    std::uint32_t key[4];
    std::uint32_t value[4];
    load_matrix(key, Rows::further(key_rows, 0, 2 * k));
    load_matrix(value, Rows::further(key_rows + Z::kValue, 0, 2 * k));
    DM_UNROLL
    for (int j = 0; j < Z::kQueries / 8; j += 2) {
      std::uint32_t columns[4];
      load_matrix(columns, Rows::further(query_columns, j * 8, 2 * k));
      mma_m16n8k16(scores[j], key, columns[0], columns[1]);
      mma_m16n8k16(scores[j + 1], key, columns[2], columns[3]);
      load_matrix(columns, Rows::further(query_columns + kToGradient, j * 8, 2 * k));
      mma_m16n8k16(d_scores[j], value, columns[0], columns[1]);
      mma_m16n8k16(d_scores[j + 1], value, columns[2], columns[3]);
    }
  }
  const float scale = p.scale * kLog2E;
  const std::uint32_t scores_at =
      Z::kScores + ScoreRows::offset(own + lane / 4, 0) + static_cast<std::uint32_t>(lane % 4 * 4);
  DM_UNROLL
  for (int j = 0; j < Z::kQueries / 8; ++j) {
    DM_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int column = j * 8 + lane % 4 * 2 + e % 2;
      const float weight = exp2_fast(fmaf(scores[j][e], scale, -log_sums[column]));
      scores[j][e] = weight;
      d_scores[j][e] = weight * (d_scores[j][e] - deltas[column]);
    }
    // Keys that are not there have gradients nobody writes, and no part in dQ.
    DM_UNROLL
    for (int r = 0; r < 2; ++r) {
      *reinterpret_cast<std::uint32_t*>(memory + ScoreRows::further(scores_at, 8 * r, j)) =
          own + lane / 4 + 8 * r < keys ? pack_bf16(d_scores[j][2 * r], d_scores[j][2 * r + 1]) : 0u;
    }
  }
  DM_UNROLL
  for (int k = 0; k < Z::kQueries / 16; ++k) {
    std::uint32_t weights[4];
    std::uint32_t d_weights[4];
    pack_fragment(weights, scores[2 * k], scores[2 * k + 1]);
    pack_fragment(d_weights, d_scores[2 * k], d_scores[2 * k + 1]);
    DM_UNROLL
    for (int j = 0; j < Z::kWidth / 8; j += 2) {
      std::uint32_t columns[4];
      load_matrix_transposed(columns, Rows::further(query_rows + kToGradient, k * 16, j));
      mma_m16n8k16(d_value[j], weights, columns[0], columns[1]);
      mma_m16n8k16(d_value[j + 1], weights, columns[2], columns[3]);
      load_matrix_transposed(columns, Rows::further(query_rows, k * 16, j));
      mma_m16n8k16(d_key[j], d_weights, columns[0], columns[1]);
      mma_m16n8k16(d_key[j + 1], d_weights, columns[2], columns[3]);
    }
  }
}

/// dQ of a tile of queries from dS of a group of keys: a warp a tile of 16 by 16, written, or added to what earlier groups left.
template <class Z>
DM_DEVICE void add_query_gradients(const TensorBackward& p, unsigned char* memory,
                                   const TensorHead& head, int first_query, int first_key) {
  using Rows = SharedRows<Z::kWidth>;
  using ScoreRows = SharedRows<Z::kQueries>;
  const std::uint32_t shared = shared_address(memory);
  const int lane = thread_index() % kWarp;
  const int live = p.keys - first_key < p.group ? p.keys - first_key : p.group;
  constexpr int kAcross = Z::kWidth / 16;
  DM_ROLLED
  for (int unit = thread_index() / kWarp; unit < Z::kQueries / 16 * kAcross;
       unit += Z::kWarps) {
    const int row = unit / kAcross * 16;
    const int part = unit % kAcross * 2;
    if (first_query + row >= p.queries) continue;
    warp_sync();  // lanes without a query left the stores below early; the loads of matrices want them all
    const std::uint32_t score_columns =
        ScoreRows::further(ScoreRows::columns16(shared + Z::kScores, 0), 0, row / 8);
    const std::uint32_t key_rows = Rows::further(Rows::rows16(shared, 0), 0, part);
    float sums[2][4] = {};
    for (int k = 0; k < live; k += 16) {
      std::uint32_t d_scores[4];
      std::uint32_t keys[4];
      load_matrix_transposed(d_scores, ScoreRows::further(score_columns, k, 0));
      load_matrix_transposed(keys, Rows::further(key_rows, k, 0));
      mma_m16n8k16(sums[0], d_scores, keys[0], keys[1]);
      mma_m16n8k16(sums[1], d_scores, keys[2], keys[3]);
    }
    DM_UNROLL
    for (int r = 0; r < 2; ++r) {
      const std::int64_t query = first_query + row + lane / 4 + 8 * r;
      if (query >= p.queries) continue;
      const int column = part * 8 + lane % 4 * 2;
      DM_UNROLL
      for (int j = 0; j < 2; ++j) {
        float left = sums[j][2 * r] * p.scale;
        float right = sums[j][2 * r + 1] * p.scale;
        float* const before = head.d_query_sums + query * Z::kWidth + column + j * 8;
        if (first_key > 0) {
          left += before[0];
          right += before[1];
        }
        if (first_key + p.group < p.keys) {
          before[0] = left;
          before[1] = right;
        } else {
          *reinterpret_cast<std::uint32_t*>(head.d_query + query * p.d_query.stride + column +
                                            j * 8) = pack_bf16(left, right);
        }
      }
    }
  }
}

/// Writes 16 rows of gradients of keys or values, `live` of them, times `factor`.
template <int kWidth>
DM_DEVICE void write_key_gradients(bf16* to, std::int64_t stride, int live,
                                   const float (&sums)[kWidth / 8][4], float factor) {
  const int lane = thread_index() % kWarp;
  DM_UNROLL
  for (int r = 0; r < 2; ++r) {
    const int own = lane / 4 + 8 * r;
    if (own >= live) continue;
    auto* const words = reinterpret_cast<std::uint32_t*>(to + own * stride) + lane % 4;
    DM_UNROLL
    for (int j = 0; j < kWidth / 8; ++j) {
      words[4 * j] = pack_bf16(sums[j][2 * r] * factor, sums[j][2 * r + 1] * factor);
    }
  }
}

/// Starts copies of a tile of queries and of dO, and fetches their log sums and deltas.
template <class Z>
DM_DEVICE void copy_queries(const TensorBackward& p, unsigned char* memory, const TensorHead& head,
                            int tile) {
  using Rows = SharedRows<Z::kWidth>;
  const std::uint32_t to =
      shared_address(memory) + static_cast<std::uint32_t>(tile % 2) * Z::kQueryBytes;
  const int first = tile * Z::kQueries;
  Rows::template copy<Z::kQueries, Z::kThreads>(to + Z::kQuery, head.query, p.query.stride, first,
                                                p.queries);
  Rows::template copy<Z::kQueries, Z::kThreads>(to + Z::kGradient, head.output_gradient,
                                                p.output_gradient.stride, first, p.queries);
  auto* const log_sums = reinterpret_cast<float*>(memory + Z::kLogSums) + tile % 2 * Z::kQueries;
  auto* const deltas = reinterpret_cast<float*>(memory + Z::kDeltas) + tile % 2 * Z::kQueries;
  DM_ROLLED
  for (int i = thread_index(); i < Z::kQueries; i += Z::kThreads) {
    const bool there = first + i < p.queries;
    log_sums[i] = there ? head.log_sums[first + i] : INFINITY;
    deltas[i] = there ? head.delta[first + i] : 0.0f;
  }
}

/// One block a head: block [B, H].
template <class Z>
DM_KERNEL(Z::kThreads, 1)
attention_tensor_backward(TensorBackward p) {
  using Rows = SharedRows<Z::kWidth>;
  unsigned char* const memory = shared_memory();
  const std::uint32_t shared = shared_address(memory);
  auto& head = *reinterpret_cast<TensorHead*>(memory + Z::kHead);
  if (thread_index() == 0) head = TensorHead(p, Z::kWidth);
  const int tiles = (p.queries + Z::kQueries - 1) / Z::kQueries;
  const int own = thread_index() / kWarp * 16 * Z::kEach;
  DM_ROLLED
  for (int first_key = 0; first_key < p.keys; first_key += p.group) {
    const int live = p.keys - first_key < p.group ? p.keys - first_key : p.group;
    block_sync();  // the head is there, and nobody reads the keys and queries before
    Rows::template copy<Z::kKeys, Z::kThreads>(shared, head.key, p.key.stride, first_key,
                                               first_key + live);
    Rows::template copy<Z::kKeys, Z::kThreads>(shared + Z::kValue, head.value, p.value.stride,
                                               first_key, first_key + live);
    copy_queries<Z>(p, memory, head, 0);
    async_commit();
    float d_key[Z::kEach][Z::kWidth / 8][4] = {};
    float d_value[Z::kEach][Z::kWidth / 8][4] = {};
    DM_ROLLED
    for (int n = 0; n < tiles; ++n) {
      async_wait<0>();
      block_sync();  // this tile is there, and nobody reads the tile and the dS before it
      if (n + 1 < tiles) copy_queries<Z>(p, memory, head, n + 1);
      async_commit();
      DM_UNROLL
      for (int i = 0; i < Z::kEach; ++i) {
        if (own + 16 * i < live) {
          take_queries<Z>(p, memory, n % 2, own + 16 * i, live, d_key[i], d_value[i]);
        }
      }
      block_sync();  // all dS are there
      add_query_gradients<Z>(p, memory, head, n * Z::kQueries, first_key);
    }
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      const int row = first_key + own + 16 * i;
      const int rest = live - own - 16 * i;
      write_key_gradients<Z::kWidth>(head.d_key + row * p.d_key.stride, p.d_key.stride, rest,
                                     d_key[i], p.scale);
      write_key_gradients<Z::kWidth>(head.d_value + row * p.d_value.stride, p.d_value.stride, rest,
                                     d_value[i], 1.0f);
    }
  }
}

}  // namespace dm::cuda
