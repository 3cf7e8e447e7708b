// SPDX-License-Identifier: Apache-2.0
// The windows of a grid, written out: small beside the attention they are for, so they are made for each call.
#pragma once

#include <cstdint>
#include <vector>

#include "core/window-grid.h"

namespace dm::cpu {

struct WindowPlan {
  std::int64_t windows = 0;
  std::int64_t tokens = 0;        ///< N, of one window
  std::int64_t row_stride = 0;    ///< N rounded up to 16: from row to row of masks and biases
  std::int64_t table_rows = 0;    ///< (2a - 1)(2b - 1)
  std::vector<std::int32_t> order;       ///< token of the grid at each place of the window order
  std::vector<std::int32_t> bias_index;  ///< [N, N]: row of the table for each query and key
  std::vector<float> masks;              ///< [masked windows, N, row_stride], times log2(e)
  std::vector<std::int64_t> mask_of;     ///< start of a window's mask in `masks`, or -1

  /// Of 0 windows where the grid has none.
  explicit WindowPlan(const WindowGrid& grid);

  const float* mask(std::int64_t window) const {
    const std::int64_t start = mask_of[static_cast<std::size_t>(window)];
    return start < 0 ? nullptr : masks.data() + start;
  }
};

}  // namespace dm::cpu
