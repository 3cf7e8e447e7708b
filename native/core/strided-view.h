// SPDX-License-Identifier: Apache-2.0
// A tensor seen through other sizes and steps: what transposing, slicing, reversing, repeating and broadcasting have in common. Axes of
// one element are dropped and neighbours that step as one axis are merged, so few are left.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"

namespace dm {

/// Axes a view may be given with: two for each axis of a tensor of rank 8.
inline constexpr std::size_t kMaxViewAxes = 16;

struct StridedView {
  std::size_t rank = 0;
  std::array<std::int64_t, kMaxViewAxes> sizes{};  ///< slowest first
  std::array<std::int64_t, kMaxViewAxes> steps{};  ///< elements between neighbours; 0 repeats, negative goes back
  std::int64_t offset = 0;                         ///< of the first element
  std::int64_t count = 1;                          ///< elements of the view

  /// Elements of a row (the innermost axis), and its step.
  std::int64_t row() const { return rank == 0 ? 1 : sizes[rank - 1]; }
  std::int64_t row_step() const { return rank == 0 ? 1 : steps[rank - 1]; }
};

/// Reads `[inputCount, offset, axes, sizes…, steps…]` from number `first` on; every element must lie in the input.
StridedView read_strided_view(Arguments& in, std::size_t first);

/// Walks over the rows of a view (all axes but `skipped` innermost ones), from any of them on.
class RowWalker {
 public:
  RowWalker(const StridedView& view, std::size_t skipped, std::int64_t row) : view_(view) {
    outer_ = view.rank < skipped ? 0 : view.rank - skipped;
    offset_ = view.offset;
    for (std::size_t axis = outer_; axis-- > 0;) {
      place_[axis] = row % view.sizes[axis];
      row /= view.sizes[axis];
      offset_ += place_[axis] * view.steps[axis];
    }
  }

  /// Where the row starts in the input.
  std::int64_t offset() const { return offset_; }

  void next() {
    for (std::size_t axis = outer_; axis-- > 0;) {
      offset_ += view_.steps[axis];
      if (++place_[axis] < view_.sizes[axis]) return;
      offset_ -= view_.steps[axis] * view_.sizes[axis];
      place_[axis] = 0;
    }
  }

 private:
  const StridedView& view_;
  std::size_t outer_;
  std::int64_t offset_;
  std::array<std::int64_t, kMaxViewAxes> place_{};
};

}  // namespace dm
