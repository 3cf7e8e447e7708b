// SPDX-License-Identifier: Apache-2.0
// Small products c (+)= a · b on blocks that stay in the caches, for the attention kernels of this folder.
//
// k counts words: see products.h. b is packed: panels of kPanel registers of columns (the last one narrower), each panel [k][columns of the panel]. a is any matrix
// by strides, so a transposed one too. Rows of c are written in whole tiles: up to 3 rows past m are overwritten, and as many rows of
// a past m are read; both must lie in memory of the caller's.
#pragma once

#include "cpu/simd/products.h"

namespace dm::cpu {
namespace {

/// Registers of columns in a panel, and rows of a tile by them: accumulators, a row of b and one value of a fill the registers.
#if defined(__AVX512F__)
constexpr int kPanel = 4;
constexpr int kTileRows[kPanel + 1] = {0, 12, 12, 8, 6};
#else
constexpr int kPanel = 2;
constexpr int kTileRows[kPanel + 1] = {0, 8, 6};
#endif

/// Rows that may be touched past the last one.
constexpr int kRowSlack = 4;

struct MatrixView {
  const float* data;
  std::int64_t row_step;
  std::int64_t column_step;
};

template <typename Product, bool kAdd, int kRows, int kColumns>
inline void multiply_tile(MatrixView a, const float* b, std::int64_t k, float* c,
                          std::int64_t c_step) {
  Floats sums[kRows][kColumns];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      sums[i][j] = kAdd ? load(c + i * c_step + j * kLanes) : Floats{};
    }
  }
  const float* at = a.data;
  for (std::int64_t step = 0; step < k; ++step) {
    Floats row[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) row[j] = load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float value = at[i * a.row_step];
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) sums[i][j] = Product::add(value, row[j], sums[i][j]);
    }
    at += a.column_step;
    b += kColumns * kLanes;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) store(c + i * c_step + j * kLanes, sums[i][j]);
  }
}

template <typename Product, bool kAdd, int kColumns>
inline void multiply_panel(MatrixView a, const float* b, std::int64_t m, std::int64_t k, float* c,
                           std::int64_t c_step) {
  constexpr int kRows = kTileRows[kColumns];
  std::int64_t row = 0;
  for (; m - row >= kRows; row += kRows) {
    multiply_tile<Product, kAdd, kRows, kColumns>(
        {a.data + row * a.row_step, a.row_step, a.column_step}, b, k, c + row * c_step, c_step);
  }
  for (; row < m; row += kRowSlack) {
    multiply_tile<Product, kAdd, kRowSlack, kColumns>(
        {a.data + row * a.row_step, a.row_step, a.column_step}, b, k, c + row * c_step, c_step);
  }
}

/// c [m, n] (+)= a [m, k] · b [k, n]; n whole registers.
template <typename Product, bool kAdd>
[[maybe_unused]] inline void multiply(MatrixView a, const float* b, std::int64_t m, std::int64_t n,
                                      std::int64_t k, float* c, std::int64_t c_step) {
  for (std::int64_t column = 0; column < n; column += kPanel * kLanes) {
    const std::int64_t registers = (n - column) / kLanes;
    const float* panel = b + column * k;
    float* out = c + column;
    if (registers >= kPanel) {
      multiply_panel<Product, kAdd, kPanel>(a, panel, m, k, out, c_step);
    } else if (registers == 1) {
      multiply_panel<Product, kAdd, 1>(a, panel, m, k, out, c_step);
    }
#if defined(__AVX512F__)
    else if (registers == 2) {
      multiply_panel<Product, kAdd, 2>(a, panel, m, k, out, c_step);
    } else {
      multiply_panel<Product, kAdd, 3>(a, panel, m, k, out, c_step);
    }
#endif
  }
}

}  // namespace
}  // namespace dm::cpu
