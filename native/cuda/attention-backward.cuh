// SPDX-License-Identifier: Apache-2.0
// The gradients of attention in float32: one kernel of two directions. A block owns a tile of queries (or of keys) and the other side goes
// past it, so that every sum is one thread's, in order. Weights are made again from the saved log2 of sums; with delta = rowsum(dO O)
// the scores' gradient is dS = P (dO Vᵀ - delta) [FlashAttention-2, arXiv 2307.08691 §3.1]. The gradient of the table is added up by
// blocks of queries over a run of windows: partial sums, one thread a row of the table, that add_partials adds in order.
// Legend: attention-tile.cuh.
#pragma once

#include "cuda/attention-tile.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kDeltaWarps = 4;

template <class T>
struct AttentionDelta {
  HeadRows<const T> output;           ///< [B * sample_queries, H D]
  HeadRows<const T> output_gradient;  ///< [B * sample_queries, H D]
  float* delta;                       ///< [B, W, H, Q]
  WindowGrid grid;
  std::int64_t sample_queries;
  std::int64_t rows;  ///< B W H Q
  int queries, windows, heads, width;
};

/// delta = rowsum(dO O), one warp a row.
template <class T>
DM_KERNEL(kDeltaWarps* kWarp, 4)
attention_delta(AttentionDelta<T> p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kDeltaWarps + thread_index() / kWarp;
  if (row >= p.rows) return;
  const int query = static_cast<int>(row % p.queries);
  const std::int64_t item = row / p.queries;
  const int window = static_cast<int>(item / p.heads % p.windows);
  const std::int64_t token = item / p.heads / p.windows * p.sample_queries +
                             (p.grid.any() ? p.grid.token(window, query) : query);
  const std::int64_t column = item % p.heads * p.width;
  const T* output = p.output.data + token * p.output.stride + column;
  const T* gradient = p.output_gradient.data + token * p.output_gradient.stride + column;
  float sum = 0;
  for (int c = thread_index() % kWarp; c < p.width; c += kWarp) {
    sum = fmaf(to_float(output[c]), to_float(gradient[c]), sum);
  }
  sum = warp_sum(sum);
  if (thread_index() % kWarp == 0) p.delta[row] = sum;
}

template <class T>
struct AttentionBackward {
  AttentionInputs<T> in;
  HeadRows<const T> output_gradient;  ///< [B * sample_queries, H D]
  const float* log_sums;              ///< [B, W, H, Q]
  const float* delta;                 ///< [B, W, H, Q]
  HeadRows<T> d_query;                ///< [B * sample_queries, H D]
  HeadRows<T> d_key;                  ///< [B * sample_keys, H D]
  HeadRows<T> d_value;                ///< [B * sample_keys, H D]
  float* d_table;                     ///< [parts, tiles, table rows, H], or null; of the queries' direction
  std::int64_t sequences;             ///< B W
  int sequences_a_part;               ///< that a block goes through, one after the other
};

/// Bytes of shared memory: both sides' two matrices, two tiles of pairs, log sums and deltas, places, rows of the table.
template <int kTile, int kSide>
constexpr std::size_t attention_backward_shared(int table_rows) {
  using Z = Tile<kTile, kSide>;
  return (4 * Z::kStaged + 2 * Z::kPairs + 2 * kTile + 2 * Z::kPlaces +
          static_cast<std::size_t>(table_rows)) *
         sizeof(float);
}

/// table[r] += dS of the pairs of a tile that row r is for: one thread a row.
template <int kTile, int kSide>
DM_DEVICE void add_to_table(float* table, const float* pairs, const WindowGrid& grid,
                            int first_query, int first_key) {
  using Z = Tile<kTile, kSide>;
  for (int r = thread_index(); r < grid.table_rows(); r += Z::kThreads) {
    const int down = r / grid.offsets_across() - (grid.a - 1);
    const int right = r % grid.offsets_across() - (grid.b - 1);
    float sum = table[r];
    for (int i = 0; i < kTile && first_query + i < grid.tokens(); ++i) {
      const int row = (first_query + i) / grid.b - down;
      const int column = (first_query + i) % grid.b - right;
      const int key = row * grid.b + column - first_key;
      if (row < 0 || row >= grid.a || column < 0 || column >= grid.b) continue;
      if (key >= 0 && key < kTile) sum += pairs[i * Z::kPitch + key];
    }
    table[r] = sum;
  }
}

/// One block a tile of queries (kOfKeys: of keys) of one head and chunk of columns: block [parts, H, tiles, chunks].
template <class T, int kTile, int kSide, bool kWindowed, bool kOfKeys>
DM_KERNEL(kSide* kSide, kTile <= 16 ? 6 : 1)
attention_backward_tiles(AttentionBackward<T> p) {
  using Z = Tile<kTile, kSide>;
  const AttentionInputs<T>& in = p.in;
  auto* const own_first = reinterpret_cast<float*>(shared_memory());  // queries, or keys
  float* const own_second = own_first + Z::kStaged;                   // dO, or values
  float* const other_first = own_second + Z::kStaged;                 // keys, or queries
  float* const other_second = other_first + Z::kStaged;               // values, or dO
  float* const d_scores = other_second + Z::kStaged;
  float* const weights = d_scores + Z::kPairs;
  float* const log_sums = weights + Z::kPairs;
  float* const deltas = log_sums + kTile;
  auto* const memory = reinterpret_cast<int*>(deltas + kTile);
  const TilePlaces own_places = Z::places(memory);
  const TilePlaces other_places = Z::places(memory + Z::kPlaces);
  auto* const table = reinterpret_cast<float*>(memory + 2 * Z::kPlaces);

  const int own_rows = kOfKeys ? in.keys : in.queries;
  const int other_rows = kOfKeys ? in.queries : in.keys;
  const std::int64_t own_sample = kOfKeys ? in.sample_keys : in.sample_queries;
  const std::int64_t other_sample = kOfKeys ? in.sample_queries : in.sample_keys;
  const int chunks = (in.width + kChunk - 1) / kChunk;
  const int tiles = (own_rows + kTile - 1) / kTile;
  const int chunk = block_index() % chunks;
  const int first_own = block_index() / chunks % tiles * kTile;
  const int head = block_index() / chunks / tiles % in.heads;
  const int part = block_index() / chunks / tiles / in.heads;
  const bool tabled = kWindowed && !kOfKeys && p.d_table != nullptr && chunk == 0;
  if (tabled) {
    for (int r = thread_index(); r < in.grid.table_rows(); r += Z::kThreads) table[r] = 0;
  }
  const float scale = in.scale * kLog2E;
  const auto read_sums = [&](std::int64_t item, int first_query) {
    for (int i = thread_index(); i < kTile; i += Z::kThreads) {
      const bool there = first_query + i < in.queries;
      log_sums[i] = there ? p.log_sums[item * in.queries + first_query + i] : INFINITY;
      deltas[i] = there ? p.delta[item * in.queries + first_query + i] : 0.0f;
    }
  };
  const std::int64_t begin = static_cast<std::int64_t>(part) * p.sequences_a_part;
  for (std::int64_t sequence = begin;
       sequence < begin + p.sequences_a_part && sequence < p.sequences; ++sequence) {
    const std::int64_t sample = sequence / in.windows;
    const int window = static_cast<int>(sequence % in.windows);
    const std::int64_t item = sequence * in.heads + head;
    const auto own_token = [&](int i) { return kWindowed ? own_places.token[i] : first_own + i; };
    block_sync();
    if constexpr (kWindowed) Z::find_places(in.grid, window, first_own, own_rows, own_places);
    if constexpr (!kOfKeys) read_sums(item, first_own);
    typename Z::Columns first_sums = {};   // of dQ, or dK
    typename Z::Columns second_sums = {};  // of dV
    for (int first_other = 0; first_other < other_rows; first_other += kTile) {
      const auto other_token = [&](int j) {
        return kWindowed ? other_places.token[j] : first_other + j;
      };
      block_sync();
      if constexpr (kWindowed) {
        Z::find_places(in.grid, window, first_other, other_rows, other_places);
      }
      if constexpr (kOfKeys) read_sums(item, first_other);
      block_sync();
      typename Z::Pairs scores = {};
      typename Z::Pairs d_weights = {};
      const auto stage_other = [&](int c) {
        Z::stage(other_first, in, kOfKeys ? in.query : in.key, sample * other_sample,
                 other_rows - first_other, other_token, head, c * kChunk);
        Z::stage(other_second, in, kOfKeys ? p.output_gradient : in.value, sample * other_sample,
                 other_rows - first_other, other_token, head, c * kChunk);
      };
      for (int c = 0; c < chunks; ++c) {
        if (c > 0) block_sync();
        if (chunks > 1 || first_other == 0) {
          Z::stage(own_first, in, kOfKeys ? in.key : in.query, sample * own_sample,
                   own_rows - first_own, own_token, head, c * kChunk);
          Z::stage(own_second, in, kOfKeys ? in.value : p.output_gradient, sample * own_sample,
                   own_rows - first_own, own_token, head, c * kChunk);
        }
        stage_other(c);
        block_sync();
        Z::add_products(scores, own_first, other_first);
        Z::add_products(d_weights, own_second, other_second);
      }
      DM_UNROLL
      for (int i = 0; i < Z::kEach; ++i) {
        DM_UNROLL
        for (int j = 0; j < Z::kEach; ++j) {
          const int own = Z::row() + kSide * i;
          const int other = Z::column() + kSide * j;
          const int query = kOfKeys ? other : own;
          float score = scores[i][j] * scale;
          if constexpr (kWindowed) {
            if (in.table != nullptr) {
              const int apart = own_places.code[own] - other_places.code[other];
              const int entry = (kOfKeys ? -apart : apart) + in.grid.centre();
              score += in.table[static_cast<std::int64_t>(entry) * in.heads + head] * kLog2E;
            }
            if (own_places.region[own] != other_places.region[other]) score += kOtherRegion;
          }
          const bool there = first_own + own < own_rows && first_other + other < other_rows;
          const float weight = there ? exp2_fast(score - log_sums[query]) : 0.0f;
          scores[i][j] = weight;
          d_weights[i][j] = weight * (d_weights[i][j] - deltas[query]);
        }
      }
      Z::store_pairs(d_scores, d_weights);
      if constexpr (kOfKeys) Z::store_pairs(weights, scores);
      block_sync();
      if (chunks > 1) {
        stage_other(chunk);
        block_sync();
      }
      if (tabled) add_to_table<kTile, kSide>(table, d_scores, in.grid, first_own, first_other);
      Z::add_weighted(first_sums, d_scores, other_first);
      if constexpr (kOfKeys) Z::add_weighted(second_sums, weights, other_second);
    }
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      const int own = Z::row() + kSide * i;
      if (first_own + own >= own_rows) continue;
      const std::int64_t row = sample * own_sample + own_token(own);
      const std::int64_t column = static_cast<std::int64_t>(head) * in.width;
      const HeadRows<T>& first = kOfKeys ? p.d_key : p.d_query;
      Z::write_row(first.data + row * first.stride + column, first_sums[i], in.scale,
                   chunk * kChunk, in.width);
      if constexpr (kOfKeys) {
        Z::write_row(p.d_value.data + row * p.d_value.stride + column, second_sums[i], 1.0f,
                     chunk * kChunk, in.width);
      }
    }
  }
  if (!tabled) return;
  block_sync();
  float* const to = p.d_table + (static_cast<std::int64_t>(part) * tiles + first_own / kTile) *
                                    in.grid.table_rows() * in.heads;
  for (int r = thread_index(); r < in.grid.table_rows(); r += Z::kThreads) {
    to[static_cast<std::int64_t>(r) * in.heads + head] = table[r];
  }
}

}  // namespace dm::cuda
