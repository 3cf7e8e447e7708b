// SPDX-License-Identifier: Apache-2.0
// A tensor with a margin: of one value, or of its own values mirrored.
#pragma once

#include "core/broadcast.h"
#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// How the margin is filled.
enum class Margin { kValue, kReflect, kSymmetric };

/// Axes of the result, slowest first. Not by fours.
template <class V, Margin kMargin>
struct Pad {
  const V* x;
  V* y;
  int rank;
  Divisor padded[kMaxRank];
  std::int64_t size[kMaxRank], before[kMaxRank], step[kMaxRank];  ///< of x
  V value;

  DM_DEVICE void operator()(std::int64_t i) const {
    std::int64_t from = 0;
    std::int64_t rest = i;
    for (int axis = rank - 1; axis >= 0; --axis) {
      std::int64_t place = take_remainder(rest, padded[axis]) - before[axis];
      if constexpr (kMargin == Margin::kValue) {
        if (place < 0 || place >= size[axis]) {
          y[i] = value;
          return;
        }
      } else {
        constexpr int kRepeats = kMargin == Margin::kSymmetric ? 1 : 0;
        if (place < 0) place = -place - kRepeats;
        if (place >= size[axis]) place = 2 * (size[axis] - 1) - place + kRepeats;
      }
      from += place * step[axis];
    }
    y[i] = x[from];
  }
  DM_DEVICE void four(std::int64_t) const {}
};

}  // namespace dm::cuda
