// SPDX-License-Identifier: Apache-2.0
// The forward pass of attention in float32 (packages/core/src/ops/attention.ts) for any lengths, head width, and windows: tiles of keys go
// past a tile of queries, whose softmax is kept by its greatest score and its sum [FlashAttention-2, arXiv 2307.08691 §3.1].
// Legend: attention-tile.cuh.
#pragma once

#include "cuda/attention-tile.cuh"

namespace dm::cuda {

template <class T>
struct AttentionForward {
  AttentionInputs<T> in;
  HeadRows<T> output;  ///< [B * sample_queries, H D]
  float* log_sums;     ///< [B, W, H, Q]: log2 of the sums of powers
};

/// Bytes of shared memory: queries, keys or values, weights; places.
template <int kTile, int kSide>
constexpr std::size_t attention_forward_shared() {
  using Z = Tile<kTile, kSide>;
  return (2 * Z::kStaged + Z::kPairs + 2 * Z::kPlaces) * sizeof(float);
}

/// The tile of queries of a block.
template <class T, int kTile, int kSide, bool kWindowed>
struct ForwardTile {
  using Z = Tile<kTile, kSide>;

  const AttentionForward<T>& p;
  float *own, *other, *weights;  ///< in shared memory: queries; keys or values; pairs
  TilePlaces query_places, key_places;
  int chunks, chunk, first_query, item;
  HeadOfWindow place;
  typename Z::Columns sums = {};
  float greatest[Z::kEach], total[Z::kEach];

  DM_DEVICE explicit ForwardTile(const AttentionForward<T>& call) : p(call) {
    own = reinterpret_cast<float*>(shared_memory());
    other = own + Z::kStaged;
    weights = other + Z::kStaged;
    auto* const memory = reinterpret_cast<int*>(weights + Z::kPairs);
    query_places = Z::places(memory);
    key_places = Z::places(memory + Z::kPlaces);
    chunks = (p.in.width + kChunk - 1) / kChunk;
    const int tiles = (p.in.queries + kTile - 1) / kTile;
    chunk = block_index() % chunks;
    first_query = block_index() / chunks % tiles * kTile;
    item = block_index() / chunks / tiles;
    place = {item / p.in.heads / p.in.windows, item / p.in.heads % p.in.windows, item % p.in.heads};
    if constexpr (kWindowed) {
      Z::find_places(p.in.grid, place.window, first_query, p.in.queries, query_places);
    }
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      greatest[i] = -INFINITY;
      total[i] = 0;
    }
  }

  DM_DEVICE int query_token(int i) const {
    return kWindowed ? query_places.token[i] : first_query + i;
  }
  DM_DEVICE void stage_keys(const HeadRows<const T>& from, int first_key, int c) const {
    Z::stage(other, p.in, from, place.sample * p.in.sample_keys, p.in.keys - first_key,
             [&](int j) { return kWindowed ? key_places.token[j] : first_key + j; }, place.head,
             c * kChunk);
  }

  /// Products of the queries and a tile of keys.
  DM_DEVICE void multiply(typename Z::Pairs& scores, int first_key) const {
    for (int c = 0; c < chunks; ++c) {
      if (c > 0) block_sync();
      if (chunks > 1 || first_key == 0) {
        Z::stage(own, p.in, p.in.query, place.sample * p.in.sample_queries,
                 p.in.queries - first_query, [&](int i) { return query_token(i); }, place.head,
                 c * kChunk);
      }
      stage_keys(p.in.key, first_key, c);
      block_sync();
      Z::add_products(scores, own, other);
    }
  }

  /// Scores from products: scaled, with biases and masks, -infinity for keys that are not there.
  DM_DEVICE float score(float product, int query, int key, int first_key) const {
    if (first_key + key >= p.in.keys) return -INFINITY;
    float score = product * (p.in.scale * kLog2E);
    if constexpr (kWindowed) {
      score += Z::added(p.in, place.head, query_places.code[query] - key_places.code[key],
                        query_places.region[query] != key_places.region[key]);
    }
    return score;
  }

  /// Turns products into powers and fades what was summed before.
  DM_DEVICE void take(typename Z::Pairs& scores, int first_key) {
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      float most = greatest[i];
      DM_UNROLL
      for (int j = 0; j < Z::kEach; ++j) {
        scores[i][j] = score(scores[i][j], Z::row() + kSide * i, Z::column() + kSide * j, first_key);
        most = fmaxf(most, scores[i][j]);
      }
      most = Z::over_row(most, [](float x, float y) { return fmaxf(x, y); });
      const float faded = exp2_fast(greatest[i] - most);
      greatest[i] = most;
      total[i] *= faded;
      DM_UNROLL
      for (int j = 0; j < Z::kEach; ++j) {
        scores[i][j] = exp2_fast(scores[i][j] - most);
        total[i] += scores[i][j];
      }
      DM_UNROLL
      for (int k = 0; k < Z::kColumns; ++k) sums[i][k] *= faded;
    }
  }

  DM_DEVICE void write() const {
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      const float all = Z::over_row(total[i], [](float x, float y) { return x + y; });
      const int query = Z::row() + kSide * i;
      if (first_query + query >= p.in.queries) continue;
      const bool none = p.in.keys == 0;
      if (chunk == 0 && Z::column() == 0) {
        p.log_sums[static_cast<std::int64_t>(item) * p.in.queries + first_query + query] =
            none ? 0.0f : greatest[i] + log2f(all);
      }
      T* const row = p.output.data +
                     (place.sample * p.in.sample_queries + query_token(query)) * p.output.stride +
                     static_cast<std::int64_t>(place.head) * p.in.width;
      Z::write_row(row, sums[i], none ? 0.0f : 1.0f / all, chunk * kChunk, p.in.width);
    }
  }
};

/// One block a tile of queries of one head and chunk of columns: block [B, W, H, tiles, chunks].
template <class T, int kTile, int kSide, bool kWindowed>
DM_KERNEL(kSide* kSide, kTile <= 16 ? 8 : 2)
attention_forward_tiles(AttentionForward<T> p) {
  using Z = Tile<kTile, kSide>;
  ForwardTile<T, kTile, kSide, kWindowed> tile(p);
  for (int first_key = 0; first_key < p.in.keys; first_key += kTile) {
    block_sync();  // nobody reads the values, weights and places before
    if constexpr (kWindowed) {
      Z::find_places(p.in.grid, tile.place.window, first_key, p.in.keys, tile.key_places);
      block_sync();
    }
    typename Z::Pairs scores = {};
    tile.multiply(scores, first_key);
    tile.take(scores, first_key);
    Z::store_pairs(tile.weights, scores);
    block_sync();  // nobody reads the keys any more
    tile.stage_keys(p.in.value, first_key, tile.chunk);
    block_sync();
    Z::add_weighted(tile.sums, tile.weights, tile.other);
  }
  tile.write();
}

}  // namespace dm::cuda
