// SPDX-License-Identifier: Apache-2.0
// A tensor whose axes are each kept or reduced, as few groups of neighbouring axes. The innermost
// group is a row, of elements that lie side by side: of one output when it is reduced, of one each
// when it is kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/broadcast.h"

namespace dm {

struct Reduction {
  /// Groups of axes outside the row, slowest first.
  struct Groups {
    std::size_t count = 0;
    std::array<std::int64_t, kMaxRank> sizes{};
    std::array<std::int64_t, kMaxRank> steps{};  ///< elements between neighbours

    std::int64_t total() const;
    /// Where the `index`-th combination starts.
    std::int64_t offset(std::int64_t index) const;
  };

  Groups kept;
  Groups reduced;
  bool row_is_reduced = true;
  std::int64_t row = 1;
  std::int64_t input_count = 1;
  std::int64_t outputs = 1;
  std::int64_t elements = 1;  ///< of each output
};

/// Reads `[rank, shape… (rank), reduced… (rank)]`, `reduced` 1 for an axis that is, 0 for one that
/// is not; rank <= 8.
Reduction read_reduction(Arguments& in, std::size_t first);

}  // namespace dm
