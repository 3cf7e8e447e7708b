// SPDX-License-Identifier: Apache-2.0
// Blocks of rows into other rows: one part of a concatenation, or the other way.
//
// O rows, C units of the part's row.
#pragma once

#include "cuda/core/copy-rows.cuh"

namespace dm::cuda {

/// to[o, c] = from[o, c] for O rows of C units that are a pitch apart. Not by fours.
template <class Unit>
struct CopyBlock {
  const Unit* from;
  Unit* to;
  Divisor columns;  ///< C
  std::int64_t from_pitch, to_pitch;

  DM_DEVICE void operator()(std::int64_t i) const {
    std::int64_t row = i;
    const std::int64_t column = take_remainder(row, columns);
    to[row * to_pitch + column] = from[row * from_pitch + column];
  }
  DM_DEVICE void four(std::int64_t) const {}
};

}  // namespace dm::cuda
