// SPDX-License-Identifier: Apache-2.0
// Where the elements of a broadcast result are in its operands (core/broadcast.h), for kernels.
#pragma once

#include "core/broadcast.h"
#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

struct BroadcastSteps {
  int rank = 0;             ///< axes outside the row
  Divisor row;              ///< elements of a row
  Divisor sizes[kMaxRank];  ///< of the outer axes, slowest first
  std::int64_t a_step[kMaxRank] = {};
  std::int64_t b_step[kMaxRank] = {};
  std::int64_t a_row = 0;  ///< 1, or 0 where a row repeats one element
  std::int64_t b_row = 0;

  BroadcastSteps() = default;
  /// Of a plan with elements.
  explicit BroadcastSteps(const Broadcast& plan)
      : rank(static_cast<int>(plan.rank)), row(plan.row), a_row(plan.a_row), b_row(plan.b_row) {
    for (std::size_t axis = 0; axis < plan.rank; ++axis) {
      sizes[axis] = Divisor(plan.sizes[axis]);
      a_step[axis] = plan.a_step[axis];
      b_step[axis] = plan.b_step[axis];
    }
  }

  struct Offsets {
    std::int64_t a, b;
  };
  /// Of element `index` of the result.
  DM_BOTH Offsets offsets(std::int64_t index) const {
    if (rank == 0) return {index * a_row, index * b_row};
    std::int64_t rest = index;
    const std::int64_t column = take_remainder(rest, row);
    Offsets at{column * a_row, column * b_row};
    for (int axis = rank - 1; axis >= 0; --axis) {
      const std::int64_t place = take_remainder(rest, sizes[axis]);
      at.a += place * a_step[axis];
      at.b += place * b_step[axis];
    }
    return at;
  }
};

/// Whether four elements of the result from a multiple of four on are of one row.
inline bool fours_in_a_row(const Broadcast& plan) { return plan.rank == 0 || plan.row % 4 == 0; }

/// Four elements of an operand from `offset` on, that are one step apart or one element.
template <class T>
DM_DEVICE FourOf<T> read_broadcast_four(const T* x, std::int64_t offset, std::int64_t step) {
  FourOf<T> four;
  DM_UNROLL
  for (int k = 0; k < 4; ++k) four.at[k] = x[offset + k * step];
  return four;
}

}  // namespace dm::cuda
