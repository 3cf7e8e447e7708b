// SPDX-License-Identifier: Apache-2.0
// A row of numbers in the registers of a warp, as float32: kHeld values a lane. With kFours, for rows that are aligned and of a multiple of four
// columns, lane l has the columns 128 j + 4 l + {0, 1, 2, 3}, which are one access; without it the columns 32 j + l.
#pragma once

#include "cuda/core/quad.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

/// The column of the lane's value i.
template <bool kFours>
DM_DEVICE int column_of(int i) {
  const int lane = thread_index() % kWarp;
  return kFours ? i / 4 * 4 * kWarp + lane * 4 + i % 4 : i * kWarp + lane;
}

DM_DEVICE void put_one(float* to, float value) { *to = value; }
DM_DEVICE void put_one(bf16* to, float value) { *to = to_bf16(value); }

/// The lane's values i .. i + 3 of a row [width], i a multiple of four; 0 past its end.
template <bool kFours, class T>
DM_DEVICE FourOf<float> load_piece(const T* row, int width, int i) {
  if constexpr (kFours) {
    const int column = column_of<true>(i);
    return column < width ? four_at(row + column) : FourOf<float>{};
  } else {
    FourOf<float> four;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) {
      const int column = column_of<false>(i + k);
      four.at[k] = column < width ? to_float(row[column]) : 0.0f;
    }
    return four;
  }
}

/// Writes them, as far as the row goes.
template <bool kFours, class T>
DM_DEVICE void store_piece(T* row, int width, int i, const FourOf<float>& four) {
  if constexpr (kFours) {
    const int column = column_of<true>(i);
    if (column < width) put_four(row + column, four);
  } else {
    DM_UNROLL
    for (int k = 0; k < 4; ++k) {
      const int column = column_of<false>(i + k);
      if (column < width) put_one(row + column, four.at[k]);
    }
  }
}

/// Reads a row [width]; 0 past its end.
template <bool kFours, class T, int kHeld>
DM_DEVICE void load_row(const T* row, int width, float (&held)[kHeld]) {
  static_assert(kHeld % 4 == 0);
  DM_UNROLL
  for (int i = 0; i < kHeld; i += 4) {
    const FourOf<float> four = load_piece<kFours>(row, width, i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) held[i + k] = four.at[k];
  }
}

/// Writes a row [width].
template <bool kFours, class T, int kHeld>
DM_DEVICE void store_row(T* row, int width, const float (&held)[kHeld]) {
  DM_UNROLL
  for (int i = 0; i < kHeld; i += 4) {
    store_piece<kFours>(row, width, i,
                        FourOf<float>{held[i], held[i + 1], held[i + 2], held[i + 3]});
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
