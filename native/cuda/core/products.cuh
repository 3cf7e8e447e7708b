// SPDX-License-Identifier: Apache-2.0
// Small matrix products in float32, sums in rising order: 32 x 32 tiles of the result, 4 numbers a thread. For products too small to be worth
// a library.
//
// M x N result, K terms.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

constexpr int kProductTile = 32;
constexpr int kProductThreads = 256;

/// out[i, j] = scale sum over k of a[i a_row + k a_step] b[j b_row + k b_step].
struct Products {
  const float* a;
  const float* b;
  float* out;  ///< [M, N]
  std::int64_t a_row, a_step;
  std::int64_t b_row, b_step;
  int rows, columns, terms;  ///< M, N, K
  float scale;
};

/// Floats of a tile in shared memory, a row of which is one longer so that columns are in different banks.
constexpr int kProductTileFloats = kProductTile * (kProductTile + 1);
constexpr std::size_t kProductShared = 2 * kProductTileFloats * sizeof(float);

/// tile[i][k] = x[(first + i) row + (term + k) step], 0 outside. Neighbouring threads read along the step that is 1.
DM_DEVICE void load_tile(float* tile, const float* x, std::int64_t row, std::int64_t step, int first,
                         int rows, int term, int terms) {
  for (int at = thread_index(); at < kProductTile * kProductTile; at += kProductThreads) {
    const int fast = at % kProductTile;
    const int slow = at / kProductTile;
    const int i = step == 1 ? slow : fast;
    const int k = step == 1 ? fast : slow;
    const bool inside = first + i < rows && term + k < terms;
    tile[i * (kProductTile + 1) + k] = inside ? x[(first + i) * row + (term + k) * step] : 0.0f;
  }
}

DM_KERNEL(kProductThreads, 2)
products(Products p) {
  constexpr int kEach = kProductTile * kProductTile / kProductThreads;
  auto* const a = reinterpret_cast<float*>(shared_memory());
  float* const b = a + kProductTileFloats;
  const int column = block_index() * kProductTile;
  const int row = block_index_y() * kProductTile;
  const int j = thread_index() % kProductTile;
  const int i = thread_index() / kProductTile * kEach;
  float sums[kEach] = {};
  for (int term = 0; term < p.terms; term += kProductTile) {
    load_tile(a, p.a, p.a_row, p.a_step, row, p.rows, term, p.terms);
    load_tile(b, p.b, p.b_row, p.b_step, column, p.columns, term, p.terms);
    block_sync();
    for (int k = 0; k < kProductTile; ++k) {
      const float right = b[j * (kProductTile + 1) + k];
      DM_UNROLL
      for (int e = 0; e < kEach; ++e) sums[e] += a[(i + e) * (kProductTile + 1) + k] * right;
    }
    block_sync();
  }
  if (column + j >= p.columns) return;
  DM_UNROLL
  for (int e = 0; e < kEach; ++e) {
    if (row + i + e >= p.rows) continue;
    p.out[static_cast<std::int64_t>(row + i + e) * p.columns + column + j] = p.scale * sums[e];
  }
}

}  // namespace dm::cuda
