// SPDX-License-Identifier: Apache-2.0
// Two operands of shapes that broadcast against each other, as rows: neighbouring axes that both
// operands step through alike are merged, the innermost remaining axis is a row, and the rest is an
// odometer over rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"

namespace dm {

inline constexpr std::size_t kMaxRank = 8;

struct Broadcast {
  std::size_t rank = 0;                      ///< axes outside the row
  std::array<std::int64_t, kMaxRank> sizes;  ///< of those axes, slowest first
  std::array<std::int64_t, kMaxRank>
      a_step;  ///< elements between neighbours along them; 0 where broadcast
  std::array<std::int64_t, kMaxRank> b_step;
  std::int64_t row = 1;    ///< elements of a row
  std::int64_t rows = 1;   ///< the product of sizes
  std::int64_t a_row = 0;  ///< 1, or 0 where a row repeats one element
  std::int64_t b_row = 0;
  std::int64_t a_count = 1, b_count = 1;

  std::int64_t count() const { return row * rows; }
  /// Where row `index` starts in each operand.
  struct Offsets {
    std::int64_t a, b;
  };
  Offsets offsets(std::int64_t index) const;

  /// Calls `fn(row, a offset, b offset)` for rows begin..end-1, in order.
  template <typename Fn>
  void for_rows(std::int64_t begin, std::int64_t end, const Fn& fn) const {
    std::array<std::int64_t, kMaxRank> place{};
    std::int64_t rest = begin;
    for (std::size_t axis = rank; axis-- > 0; rest /= sizes[axis]) place[axis] = rest % sizes[axis];
    auto [a, b] = offsets(begin);
    for (std::int64_t index = begin; index < end; ++index) {
      fn(index, a, b);
      for (std::size_t axis = rank; axis-- > 0;) {
        a += a_step[axis];
        b += b_step[axis];
        if (++place[axis] < sizes[axis]) break;
        place[axis] = 0;
        a -= a_step[axis] * sizes[axis];
        b -= b_step[axis] * sizes[axis];
      }
    }
  }
};

/// Reads `[rank, aShape…, bShape…]` (both padded with ones to `rank` <= 8) from number `first` on.
Broadcast read_broadcast(Arguments& in, std::size_t first);

}  // namespace dm
