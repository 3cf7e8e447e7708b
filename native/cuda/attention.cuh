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

/// One block a tile of queries of one head and chunk of columns: block [B, W, H, tiles, chunks].
template <class T, int kTile, int kSide, bool kWindowed>
DM_KERNEL(kSide* kSide, kTile <= 16 ? 8 : 2)
attention_forward_tiles(AttentionForward<T> p) {
  using Z = Tile<kTile, kSide>;
  const AttentionInputs<T>& in = p.in;
  auto* const own = reinterpret_cast<float*>(shared_memory());
  float* const other = own + Z::kStaged;
  float* const weights = other + Z::kStaged;
  auto* const memory = reinterpret_cast<int*>(weights + Z::kPairs);
  const TilePlaces query_places = Z::places(memory);
  const TilePlaces key_places = Z::places(memory + Z::kPlaces);
  const int chunks = (in.width + kChunk - 1) / kChunk;
  const int tiles = (in.queries + kTile - 1) / kTile;
  const int chunk = block_index() % chunks;
  const int first_query = block_index() / chunks % tiles * kTile;
  const std::int64_t item = block_index() / chunks / tiles;
  const HeadOfWindow place{item / in.heads / in.windows,
                           static_cast<int>(item / in.heads % in.windows),
                           static_cast<int>(item % in.heads)};
  const auto query_token = [&](int i) {
    return kWindowed ? query_places.token[i] : first_query + i;
  };
  if constexpr (kWindowed) {
    Z::find_places(in.grid, place.window, first_query, in.queries, query_places);
  }
  const float scale = in.scale * kLog2E;
  typename Z::Columns sums = {};
  float greatest[Z::kEach];
  float total[Z::kEach];
  DM_UNROLL
  for (int i = 0; i < Z::kEach; ++i) {
    greatest[i] = -INFINITY;
    total[i] = 0;
  }
  for (int first_key = 0; first_key < in.keys; first_key += kTile) {
    const auto key_token = [&](int j) { return kWindowed ? key_places.token[j] : first_key + j; };
    block_sync();
    if constexpr (kWindowed) {
      Z::find_places(in.grid, place.window, first_key, in.keys, key_places);
      block_sync();
    }
    typename Z::Pairs scores = {};
    for (int c = 0; c < chunks; ++c) {
      if (c > 0) block_sync();
      if (chunks > 1 || first_key == 0) {
        Z::stage(own, in, in.query, place.sample * in.sample_queries, in.queries - first_query,
                 query_token, place.head, c * kChunk);
      }
      Z::stage(other, in, in.key, place.sample * in.sample_keys, in.keys - first_key, key_token,
               place.head, c * kChunk);
      block_sync();
      Z::add_products(scores, own, other);
    }
    DM_UNROLL
    for (int i = 0; i < Z::kEach; ++i) {
      float most = greatest[i];
      DM_UNROLL
      for (int j = 0; j < Z::kEach; ++j) {
        const int key = Z::column() + kSide * j;
        scores[i][j] *= scale;
        if constexpr (kWindowed) {
          const int query = Z::row() + kSide * i;
          if (in.table != nullptr) {
            const int entry = query_places.code[query] - key_places.code[key] + in.grid.centre();
            scores[i][j] += in.table[static_cast<std::int64_t>(entry) * in.heads + place.head] * kLog2E;
          }
          if (query_places.region[query] != key_places.region[key]) scores[i][j] += kOtherRegion;
        }
        if (first_key + key >= in.keys) scores[i][j] = -INFINITY;
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
    Z::store_pairs(weights, scores);
    block_sync();
    Z::stage(other, in, in.value, place.sample * in.sample_keys, in.keys - first_key, key_token,
             place.head, chunk * kChunk);
    block_sync();
    Z::add_weighted(sums, weights, other);
  }
  DM_UNROLL
  for (int i = 0; i < Z::kEach; ++i) {
    const float all = Z::over_row(total[i], [](float x, float y) { return x + y; });
    const int query = first_query + Z::row() + kSide * i;
    if (query >= in.queries) continue;
    const bool none = in.keys == 0;
    if (chunk == 0 && Z::column() == 0) {
      p.log_sums[item * in.queries + query] = none ? 0.0f : greatest[i] + log2f(all);
    }
    const int token = kWindowed ? query_places.token[Z::row() + kSide * i] : query;
    T* row = p.output.data + (place.sample * in.sample_queries + token) * p.output.stride +
             static_cast<std::int64_t>(place.head) * in.width;
    Z::write_row(row, sums[i], none ? 0.0f : 1.0f / all, chunk * kChunk, in.width);
  }
}

}  // namespace dm::cuda
