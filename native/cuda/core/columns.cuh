// SPDX-License-Identifier: Apache-2.0
// A row of floats in the registers of a warp: kHeld values a lane. With kFours, for rows that are aligned and of a multiple of four columns,
// lane l has the columns 128 j + 4 l + {0, 1, 2, 3}; without it the columns 32 j + l.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

/// The column of the lane's value i.
template <bool kFours>
DM_DEVICE int column_of(int i) {
  const int lane = thread_index() % kWarp;
  return kFours ? i / 4 * 4 * kWarp + lane * 4 + i % 4 : i * kWarp + lane;
}

/// Reads a row [width]; 0 past its end.
template <bool kFours, int kHeld>
DM_DEVICE void load_row(const float* row, int width, float (&held)[kHeld]) {
  static_assert(kHeld % 4 == 0);
  DM_UNROLL
  for (int i = 0; i < kHeld; i += kFours ? 4 : 1) {
    const int column = column_of<kFours>(i);
    if constexpr (kFours) {
      const FourOf<float> four = column < width ? read_four(row + column) : FourOf<float>{};
      DM_UNROLL
      for (int k = 0; k < 4; ++k) held[i + k] = four.at[k];
    } else {
      held[i] = column < width ? row[column] : 0.0f;
    }
  }
}

/// Writes a row [width].
template <bool kFours, int kHeld>
DM_DEVICE void store_row(float* row, int width, const float (&held)[kHeld]) {
  DM_UNROLL
  for (int i = 0; i < kHeld; i += kFours ? 4 : 1) {
    const int column = column_of<kFours>(i);
    if (column >= width) continue;
    if constexpr (kFours) {
      write_four(row + column, FourOf<float>{held[i], held[i + 1], held[i + 2], held[i + 3]});
    } else {
      row[column] = held[i];
    }
  }
}

/// Applies `use(i, column)` to the lane's columns.
template <bool kFours, int kHeld, class Use>
DM_DEVICE void for_held(int width, Use use) {
  DM_UNROLL
  for (int i = 0; i < kHeld; ++i) {
    const int column = column_of<kFours>(i);
    if (column < width) use(i, column);
  }
}

}  // namespace dm::cuda
