// SPDX-License-Identifier: Apache-2.0
// Reading and merging of axes.
#include "core/strided-view.h"

#include <string>

namespace dm {

namespace {

/// Adds an axis inside those that are there.
void append(StridedView& view, std::int64_t size, std::int64_t step) {
  if (size == 1) return;
  if (view.rank > 0) {
    const std::size_t last = view.rank - 1;
    if (view.steps[last] == step * size) {
      view.sizes[last] *= size;
      view.steps[last] = step;
      return;
    }
  }
  view.sizes[view.rank] = size;
  view.steps[view.rank] = step;
  ++view.rank;
}

}  // namespace

StridedView read_strided_view(Arguments& in, std::size_t first) {
  StridedView view;
  const std::int64_t input = in.count(first);
  view.offset = in.count(first + 1);
  const auto axes = static_cast<std::size_t>(in.count(first + 2));
  if (axes > kMaxViewAxes) in.fail("at most 16 axes", std::to_string(axes));
  if (!in.ok()) return view;
  view.count = in.product(first + 3, axes);
  // Bounds in floating point, where nothing overflows; what passes is far below 2^53.
  double least = static_cast<double>(view.offset);
  double most = least;
  for (std::size_t axis = 0; axis < axes && in.ok(); ++axis) {
    const std::int64_t size = in.count(first + 3 + axis);
    const std::int64_t step = in.integer(first + 3 + axes + axis);
    const double reach = static_cast<double>(size - 1) * static_cast<double>(step);
    (reach < 0 ? least : most) += reach;
  }
  if (!in.ok() || view.count == 0) return view;
  if (least < 0 || most >= static_cast<double>(input)) {
    in.fail("a view of " + std::to_string(input) + " elements",
            std::to_string(least) + ".." + std::to_string(most));
    return view;
  }
  for (std::size_t axis = 0; axis < axes; ++axis) {
    append(view, in.count(first + 3 + axis), in.integer(first + 3 + axes + axis));
  }
  return view;
}

}  // namespace dm
