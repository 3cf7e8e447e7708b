// SPDX-License-Identifier: Apache-2.0
// Windows [a, b] over a grid of tokens with a cyclic shift, as in packages/core/src/ops/windows.ts: arithmetic on places, nothing stored.
// A place is the number of a token within its window, row by row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/both.h"

namespace dm {

class Arguments;

/// Scores are kept in powers of two.
constexpr float kLog2E = 1.44269504f;
/// What is added to the score of two tokens of a window from different regions.
constexpr float kOtherRegion = -100.0f * kLog2E;

struct WindowGrid {
  int rows = 0, columns = 0;
  int a = 0, b = 0;  ///< rows and columns of a window; 0: no windows
  int down = 0, right = 0;

  DM_BOTH bool any() const { return a > 0; }
  DM_BOTH int across() const { return columns / b; }
  DM_BOTH int windows() const { return rows / a * across(); }
  DM_BOTH int tokens() const { return a * b; }
  DM_BOTH int offsets_across() const { return 2 * b - 1; }
  DM_BOTH int table_rows() const { return any() ? (2 * a - 1) * offsets_across() : 0; }

  /// The token of the grid at a place of a window.
  DM_BOTH int token(int window, int place) const {
    const int row = window / across() * a + place / b;
    const int column = window % across() * b + place % b;
    return (row + down) % rows * columns + (column + right) % columns;
  }
  /// Tokens of a window in different regions came together by the shift alone.
  DM_BOTH int region(int window, int place) const {
    const int row = window / across() * a + place / b;
    const int column = window % across() * b + place % b;
    return 3 * band(row, rows, a, down) + band(column, columns, b, right);
  }
  /// Whether the tokens of a window are of different regions.
  DM_BOTH bool mixed(int window) const {
    return (down > 0 && window / across() == rows / a - 1) ||
           (right > 0 && window % across() == across() - 1);
  }
  /// code(query) - code(key) + centre() is the row of the table for the two places.
  DM_BOTH int code(int place) const { return place / b * offsets_across() + place % b; }
  DM_BOTH int centre() const { return (a - 1) * offsets_across() + b - 1; }

 private:
  /// Before the last window, its first part, its wrapped part.
  DM_BOTH static int band(int position, int length, int window, int shift) {
    if (shift == 0 || position < length - window) return 0;
    return position < length - shift ? 1 : 2;
  }
};

/// Reads `[rows, columns, a, b, down, right]` from number `first` on, the grid being of `tokens` tokens; all zero means no windows.
WindowGrid read_window_grid(Arguments& in, std::size_t first, std::int64_t tokens);

}  // namespace dm
