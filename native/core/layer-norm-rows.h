// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/arguments.h"

namespace dm {

/// A layer normalization of R rows of C numbers, for the ops that contain one.
struct LayerNormRows {
  const float* x = nullptr;       ///< [R, C]
  const float* weight = nullptr;  ///< [C]
  const float* bias = nullptr;    ///< [C]; a gradient needs it only to make the rows again
  std::int64_t rows = 0;
  std::int64_t width = 0;
  float epsilon = 0;  ///< only where the statistics are computed
};

/// Reads x, weight and bias with `Arguments::next`.
inline LayerNormRows next_norm(Arguments& in, std::int64_t rows, std::int64_t width, float epsilon) {
  return {.x = in.next<const float>(rows * width),
          .weight = in.next<const float>(width),
          .bias = in.next<const float>(width),
          .rows = rows,
          .width = width,
          .epsilon = epsilon};
}

}  // namespace dm
