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

/// Bytes of shared memory: both sides' two matrices, a tile of pairs, log sums and deltas, places, rows of the table. 87 KiB and the table: GPUs of
/// compute capability 8.6 and 8.9 have 99.
template <int kTile, int kSide>
constexpr std::size_t attention_backward_shared(int table_rows) {
  using Z = Tile<kTile, kSide>;
  return (4 * Z::kStaged + Z::kPairs + 2 * kTile + 2 * Z::kPlaces +
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

/// The tile of queries (kOfKeys: of keys) of a block: its own side; the other side goes past.
template <class T, int kTile, int kSide, bool kWindowed, bool kOfKeys>
struct BackwardTile {
  using Z = Tile<kTile, kSide>;

  const AttentionBackward<T>& p;
  float *own_first, *own_second;      ///< queries and dO, or keys and values
  float *other_first, *other_second;  ///< keys and values, or queries and dO
  float* pairs;                       ///< dS, then weights
  float *log_sums, *deltas;           ///< [N], of queries
  float* table;                       ///< [table rows]
  TilePlaces own_places, other_places;
  int own_rows, other_rows, chunks, tiles, chunk, first_own, head, part;
  std::int64_t own_sample, other_sample;
  // Of the sequence that the block is at.
  std::int64_t sample, item;
  int window;
  typename Z::Columns first_sums;   ///< of dQ, or dK
  typename Z::Columns second_sums;  ///< of dV

  DM_DEVICE explicit BackwardTile(const AttentionBackward<T>& call) : p(call) {
    own_first = reinterpret_cast<float*>(shared_memory());
    own_second = own_first + Z::kStaged;
    other_first = own_second + Z::kStaged;
    other_second = other_first + Z::kStaged;
    pairs = other_second + Z::kStaged;
    log_sums = pairs + Z::kPairs;
    deltas = log_sums + kTile;
    auto* const memory = reinterpret_cast<int*>(deltas + kTile);
    own_places = Z::places(memory);
    other_places = Z::places(memory + Z::kPlaces);
    table = reinterpret_cast<float*>(memory + 2 * Z::kPlaces);
    own_rows = kOfKeys ? p.in.keys : p.in.queries;
    other_rows = kOfKeys ? p.in.queries : p.in.keys;
    own_sample = kOfKeys ? p.in.sample_keys : p.in.sample_queries;
    other_sample = kOfKeys ? p.in.sample_queries : p.in.sample_keys;
    chunks = (p.in.width + kChunk - 1) / kChunk;
    tiles = (own_rows + kTile - 1) / kTile;
    chunk = block_index() % chunks;
    first_own = block_index() / chunks % tiles * kTile;
    head = block_index() / chunks / tiles % p.in.heads;
    part = block_index() / chunks / tiles / p.in.heads;
  }

  DM_DEVICE bool tabled() const {
    return kWindowed && !kOfKeys && p.d_table != nullptr && chunk == 0;
  }
  DM_DEVICE int own_token(int i) const { return kWindowed ? own_places.token[i] : first_own + i; }

  DM_DEVICE void read_sums(int first_query) const {
    for (int i = thread_index(); i < kTile; i += Z::kThreads) {
      const bool there = first_query + i < p.in.queries;
      const std::int64_t at = item * p.in.queries + first_query + i;
      log_sums[i] = there ? p.log_sums[at] : INFINITY;
      deltas[i] = there ? p.delta[at] : 0.0f;
    }
  }
  DM_DEVICE void begin(std::int64_t sequence) {
    sample = sequence / p.in.windows;
    window = static_cast<int>(sequence % p.in.windows);
    item = sequence * p.in.heads + head;
    block_sync();  // nobody reads the places and sums before
    if constexpr (kWindowed) Z::find_places(p.in.grid, window, first_own, own_rows, own_places);
    if constexpr (!kOfKeys) read_sums(first_own);
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      DM_UNROLL
      for (int k = 0; k < Z::kColumns; ++k) first_sums[i][k] = second_sums[i][k] = 0;
    }
  }

  DM_DEVICE void stage_own(int c) const {
    const auto token = [&](int i) { return own_token(i); };
    const int rows = own_rows - first_own;
    Z::stage(own_first, p.in, kOfKeys ? p.in.key : p.in.query, sample * own_sample, rows, token, head,
             c * kChunk);
    Z::stage(own_second, p.in, kOfKeys ? p.in.value : p.output_gradient, sample * own_sample, rows,
             token, head, c * kChunk);
  }
  DM_DEVICE void stage_other(int first_other, int c) const {
    const auto token = [&](int j) { return kWindowed ? other_places.token[j] : first_other + j; };
    const int rows = other_rows - first_other;
    Z::stage(other_first, p.in, kOfKeys ? p.in.query : p.in.key, sample * other_sample, rows, token,
             head, c * kChunk);
    Z::stage(other_second, p.in, kOfKeys ? p.output_gradient : p.in.value, sample * other_sample,
             rows, token, head, c * kChunk);
  }

  /// Products of both first matrices, and of both second ones.
  DM_DEVICE void multiply(typename Z::Pairs& scores, typename Z::Pairs& d_weights,
                          int first_other) const {
    for (int c = 0; c < chunks; ++c) {
      if (c > 0) block_sync();
      if (chunks > 1 || first_other == 0) stage_own(c);
      stage_other(first_other, c);
      block_sync();
      Z::add_products(scores, own_first, other_first);
      Z::add_products(d_weights, own_second, other_second);
    }
  }

  /// Weights from products of queries and keys, dS from those of dO and values.
  DM_DEVICE void find_gradients(typename Z::Pairs& scores, typename Z::Pairs& d_weights,
                                int first_other) const {
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      DM_UNROLL
      for (int j = 0; j < Z::kEach; ++j) {
        const int own = Z::row() + kSide * i;
        const int other = Z::column() + kSide * j;
        const int query = kOfKeys ? other : own;
        float score = scores[i][j] * (p.in.scale * kLog2E);
        if constexpr (kWindowed) {
          const int apart = own_places.code[own] - other_places.code[other];
          score += Z::added(p.in, head, kOfKeys ? -apart : apart,
                            own_places.region[own] != other_places.region[other]);
        }
        const bool there = first_own + own < own_rows && first_other + other < other_rows;
        const float weight = there ? exp2_fast(score - log_sums[query]) : 0.0f;
        scores[i][j] = weight;
        d_weights[i][j] = weight * (d_weights[i][j] - deltas[query]);
      }
    }
  }

  /// Takes in the tile of the other side from `first_other` on.
  DM_DEVICE void take(int first_other) {
    block_sync();  // nobody reads the other side and the pairs before
    if constexpr (kWindowed) {
      Z::find_places(p.in.grid, window, first_other, other_rows, other_places);
    }
    if constexpr (kOfKeys) read_sums(first_other);
    block_sync();
    typename Z::Pairs scores = {};
    typename Z::Pairs d_weights = {};
    multiply(scores, d_weights, first_other);
    find_gradients(scores, d_weights, first_other);
    Z::store_pairs(pairs, d_weights);
    block_sync();
    if (chunks > 1) {
      stage_other(first_other, chunk);
      block_sync();
    }
    if (tabled()) add_to_table<kTile, kSide>(table, pairs, p.in.grid, first_own, first_other);
    Z::add_weighted(first_sums, pairs, other_first);
    if constexpr (kOfKeys) {
      block_sync();  // nobody reads dS any more
      Z::store_pairs(pairs, scores);
      block_sync();
      Z::add_weighted(second_sums, pairs, other_second);
    }
  }

  DM_DEVICE void write() const {
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      const int own = Z::row() + kSide * i;
      if (first_own + own >= own_rows) continue;
      const std::int64_t row = sample * own_sample + own_token(own);
      const std::int64_t column = static_cast<std::int64_t>(head) * p.in.width;
      const HeadRows<T>& first = kOfKeys ? p.d_key : p.d_query;
      Z::write_row(first.data + row * first.stride + column, first_sums[i], p.in.scale,
                   chunk * kChunk, p.in.width);
      if constexpr (kOfKeys) {
        Z::write_row(p.d_value.data + row * p.d_value.stride + column, second_sums[i], 1.0f,
                     chunk * kChunk, p.in.width);
      }
    }
  }
};

/// One block a tile of queries (kOfKeys: of keys) of one head and chunk of columns: block [parts, H, tiles, chunks].
template <class T, int kTile, int kSide, bool kWindowed, bool kOfKeys>
DM_KERNEL(kSide* kSide, kTile <= 16 ? 6 : 1)
attention_backward_tiles(AttentionBackward<T> p) {
  BackwardTile<T, kTile, kSide, kWindowed, kOfKeys> tile(p);
  const int table_rows = tile.tabled() ? p.in.grid.table_rows() : 0;
  for (int r = thread_index(); r < table_rows; r += block_threads()) tile.table[r] = 0;
  const std::int64_t begin = static_cast<std::int64_t>(tile.part) * p.sequences_a_part;
  const std::int64_t end = begin + p.sequences_a_part;
  for (std::int64_t sequence = begin; sequence < end && sequence < p.sequences; ++sequence) {
    tile.begin(sequence);
    for (int first = 0; first < tile.other_rows; first += kTile) tile.take(first);
    tile.write();
  }
  // A row of the table is one thread's from beginning to end.
  for (int r = thread_index(); r < table_rows; r += block_threads()) {
    const std::int64_t place = static_cast<std::int64_t>(tile.part) * tile.tiles + tile.first_own / kTile;
    p.d_table[(place * table_rows + r) * p.in.heads + tile.head] = tile.table[r];
  }
}

}  // namespace dm::cuda
