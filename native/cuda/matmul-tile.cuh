// SPDX-License-Identifier: Apache-2.0
// What the products of matrices share: operands, the tile of a block, and what follows the sums.
//
// An operand is read as [L, K], whichever way it is stored: L is M of a, N of b. "By k": neighbours along k are neighbours in memory; else
// neighbours along l are. B batch, M x K times K x N, T tile. Where there are few tiles and many terms, k is cut into P parts: their sums go to
// memory [P, B, M, N], and a second pass adds them in order.
#pragma once

#include <cstddef>

#include "cuda/core/gelu.cuh"
#include "cuda/core/quad.cuh"

namespace dm::cuda {

constexpr int kLargeTile = 128;
constexpr int kSmallTile = 64;

struct MatmulOperand {
  const void* data;          ///< [B, L, K] by steps; [k, l] where l_step is 1 and k_step not
  std::int64_t l_step;       ///< elements between neighbours along l
  std::int64_t k_step;       ///< the same along k; one of the two is 1
  std::int64_t batch_step;
  std::int64_t length;       ///< L
  bool bfloat16;
  bool by_k;                 ///< k_step is 1
  bool whole;                ///< quads along the contiguous axis are aligned

  DM_BOTH const void* batch(std::int64_t index) const {
    return static_cast<const unsigned char*>(data) + index * batch_step * (bfloat16 ? 2 : 4);
  }
};

enum class FinishActivation { kNone, kGelu, kGeluSlope };

/// What follows the sums; see MatmulEpilogue.
struct MatmulFinish {
  void* c;              ///< [B, M, N] by steps
  void* preactivation;  ///< [B, M, N]
  void* activated;      ///< [B, M, N]
  const float* bias;       ///< [N]
  const float* row_scale;  ///< [B M / rows_per_scale]
  const float* residual;   ///< [B, M, N]
  std::int64_t rows_per_scale;
  std::int64_t c_row_step, c_batch_step;
  std::int64_t m, n;
  FinishActivation activation;
  bool c_bfloat16;
  bool preactivation_bfloat16;  ///< of `activated` too
  bool accumulate;
  bool whole;  ///< quads of all of these are aligned
};

struct Matmul {
  MatmulOperand a;  ///< [B, M, K]
  MatmulOperand b;  ///< [B, N, K]
  MatmulFinish finish;  ///< of all; of parts, that which stores their sums as [P B, M, N]
  std::int64_t k;
  std::int64_t k_part;  ///< terms of a part, a multiple of the slice of every kernel; k where there is one part
  std::int64_t batches;
  int row_tiles, column_tiles;
};

/// The epilogue of columns `column` .. + 3 of a row: from sums to what is stored, and returned as it was before it was rounded.
DM_DEVICE Quad finish_quad(const MatmulFinish& f, std::int64_t batch, std::int64_t row,
                           std::int64_t column, Quad value) {
  const std::int64_t count = f.n - column;
  const std::int64_t dense = (batch * f.m + row) * f.n + column;
  const std::int64_t at = batch * f.c_batch_step + row * f.c_row_step + column;
  if (f.bias != nullptr) {
    const Quad bias = load_quad(f.bias, false, column, count, f.whole);
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] += bias.at[i];
  }
  if (f.activation == FinishActivation::kGelu) {
    if (f.preactivation != nullptr) {
      store_quad(f.preactivation, f.preactivation_bfloat16, dense, count, f.whole, value);
    }
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] = gelu_value(value.at[i]);
  } else if (f.activation == FinishActivation::kGeluSlope) {
    Quad before = load_quad(f.preactivation, f.preactivation_bfloat16, dense, count, f.whole);
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] *= gelu_slope(before.at[i]);
    if (f.activated != nullptr) {
      DM_UNROLL
      for (int i = 0; i < 4; ++i) before.at[i] = gelu_value(before.at[i]);
      store_quad(f.activated, f.preactivation_bfloat16, dense, count, f.whole, before);
    }
  }
  if (f.row_scale != nullptr) {
    const float scale = f.row_scale[(batch * f.m + row) / f.rows_per_scale];
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] *= scale;
  }
  if (f.residual != nullptr) {
    const Quad residual = load_quad(f.residual, false, dense, count, f.whole);
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] += residual.at[i];
  }
  if (f.accumulate) {
    const Quad before = load_quad(f.c, f.c_bfloat16, at, count, f.whole);
    DM_UNROLL
    for (int i = 0; i < 4; ++i) value.at[i] += before.at[i];
  }
  store_quad(f.c, f.c_bfloat16, at, count, f.whole, value);
  return value;
}

/// Where a block works: block (i, j) on a tile of part j.
struct MatmulPlace {
  std::int64_t batch, row, column;
  std::int64_t k_first, k_end;
  std::int64_t c_batch;

  template <int kTile>
  static DM_DEVICE MatmulPlace of_block(const Matmul& p) {
    const int tiles = p.row_tiles * p.column_tiles;
    const int tile = block_index() % tiles;
    const std::int64_t batch = block_index() / tiles;
    const std::int64_t k_first = block_index_y() * p.k_part;
    return {.batch = batch,
            .row = static_cast<std::int64_t>(tile / p.column_tiles) * kTile,
            .column = static_cast<std::int64_t>(tile % p.column_tiles) * kTile,
            .k_first = k_first,
            .k_end = k_first + p.k_part < p.k ? k_first + p.k_part : p.k,
            .c_batch = block_index_y() * p.batches + batch};
  }
};

/// Floats from row to row of a tile of sums in shared memory: quads stay aligned, and rows begin at different banks.
template <int kTile>
constexpr int kSumsStep = kTile + 4;

/// What is left of `count` from `first` on, as far as a tile or slice has to know.
DM_DEVICE int left_of(std::int64_t count, std::int64_t first, int most) {
  return static_cast<int>(count - first < most ? count - first : most);
}

/// Stores a tile of sums [T, T] that is in shared memory.
template <int kTile>
DM_DEVICE void finish_tile(const Matmul& p, const MatmulPlace& place, const float* sums) {
  constexpr int kQuads = kTile / 4;
  for (int i = thread_index(); i < kTile * kQuads; i += block_threads()) {
    const int r = i / kQuads;
    const int c = i % kQuads * 4;
    if (place.row + r >= p.finish.m || place.column + c >= p.finish.n) continue;
    finish_quad(p.finish, place.c_batch, place.row + r, place.column + c,
                four_at(sums + r * kSumsStep<kTile> + c));
  }
}

constexpr int kFinishThreads = 256;

struct FinishProduct {
  MatmulFinish finish;  ///< c dense
  const void* product;  ///< [P, B, M, N], dense; may be c where P is 1
  bool product_bfloat16;
  std::int64_t rows;  ///< B M
  int parts;          ///< P
};

/// A quad a thread, parts added in order.
DM_KERNEL(kFinishThreads, 4)
finish_product(FinishProduct p) {
  const std::int64_t quads = (p.finish.n + 3) / 4;
  const std::int64_t i =
      static_cast<std::int64_t>(block_index()) * kFinishThreads + thread_index();
  if (i >= p.rows * quads) return;
  const std::int64_t row = i / quads;
  const std::int64_t column = i % quads * 4;
  const std::int64_t at = row * p.finish.n + column;
  const std::int64_t count = p.finish.n - column;
  Quad value = load_quad(p.product, p.product_bfloat16, at, count, p.finish.whole);
  for (int part = 1; part < p.parts; ++part) {
    const Quad more = load_quad(p.product, p.product_bfloat16, part * p.rows * p.finish.n + at,
                                count, p.finish.whole);
    DM_UNROLL
    for (int e = 0; e < 4; ++e) value.at[e] += more.at[e];
  }
  finish_quad(p.finish, row / p.finish.m, row % p.finish.m, column, value);
}

}  // namespace dm::cuda
