// SPDX-License-Identifier: Apache-2.0
// A strided view of a tensor, as a tensor (core/strided-view.h): a thread an element, or, where an inner axis of the input is an outer one of the
// view, tiles of 32 x 32 through shared memory, so that both sides are read and written along their rows.
#pragma once

#include "core/strided-view.h"
#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// Sizes of axes and their steps.
struct ViewAxes {
  int rank = 0;
  Divisor sizes[kMaxViewAxes];
  std::int64_t steps[kMaxViewAxes] = {};

  void add(std::int64_t size, std::int64_t step) {
    sizes[rank] = Divisor(size);
    steps[rank++] = step;
  }
  DM_BOTH std::int64_t offset(std::int64_t index) const {
    std::int64_t result = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      result += take_remainder(index, sizes[axis]) * steps[axis];
    }
    return result;
  }
};

/// y[i] = x[offset + where i is]. Not by fours; U may be four elements of a row.
template <class U>
struct CopyView {
  const U* x;  ///< at the view's first element
  U* y;
  ViewAxes axes;

  DM_DEVICE void operator()(std::int64_t i) const { y[i] = x[axes.offset(i)]; }
  DM_DEVICE void four(std::int64_t) const {}
};

constexpr int kTransposeTile = 32;
constexpr int kTransposeThreads = 256;
constexpr std::size_t kTransposeShared = kTransposeTile * (kTransposeTile + 1) * 4;

/// Planes of `rows` by `columns`: y[row y_row + column] = x[column x_column + row] in each.
template <class V>
struct TransposeView {
  const V* x;  ///< at the view's first element
  V* y;
  ViewAxes x_planes, y_planes;  ///< the other axes, on both sides
  Divisor down, across;         ///< tiles of a plane
  std::int64_t rows, columns;
  std::int64_t x_column, y_row;
};

template <class V>
DM_KERNEL(kTransposeThreads, 4)
transpose_view(TransposeView<V> p) {
  constexpr int kPitch = kTransposeTile + 1;  // neighbours of a column are in different banks
  auto* const tile = reinterpret_cast<V*>(shared_memory());
  std::int64_t plane = block_index();
  const std::int64_t column = take_remainder(plane, p.across) * kTransposeTile;
  const std::int64_t row = take_remainder(plane, p.down) * kTransposeTile;
  const V* x = p.x + p.x_planes.offset(plane);
  V* y = p.y + p.y_planes.offset(plane);
  const int along = thread_index() % kTransposeTile;
  const int first = thread_index() / kTransposeTile;
  constexpr int kStep = kTransposeThreads / kTransposeTile;
  for (int i = first; i < kTransposeTile; i += kStep) {
    if (column + i < p.columns && row + along < p.rows) {
      tile[i * kPitch + along] = x[(column + i) * p.x_column + row + along];
    }
  }
  block_sync();
  for (int i = first; i < kTransposeTile; i += kStep) {
    if (row + i < p.rows && column + along < p.columns) {
      y[(row + i) * p.y_row + column + along] = tile[along * kPitch + i];
    }
  }
}

}  // namespace dm::cuda
