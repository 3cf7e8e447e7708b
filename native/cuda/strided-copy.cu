// SPDX-License-Identifier: Apache-2.0
// DmStridedCopy on a device: buffers and numbers as in cpu/strided-copy.cc.
#include "cuda/strided-copy.cuh"

#include <string>

#include "core/arguments.h"
#include "cuda/core/copy-rows.cuh"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// Whether the view is of whole aligned fours.
bool by_fours(const StridedView& view) {
  if (view.rank == 0 || view.row_step() != 1 || view.row() % 4 != 0 || view.offset % 4 != 0) {
    return false;
  }
  for (std::size_t axis = 0; axis + 1 < view.rank; ++axis) {
    if (view.steps[axis] % 4 != 0) return false;
  }
  return true;
}

/// Copies the view, of which U is `width` elements.
template <class U>
void copy_elements(Device& device, const StridedView& view, const void* x, void* y,
                   std::int64_t width) {
  CopyView<U> body{.x = static_cast<const U*>(x) + view.offset / width,
                   .y = static_cast<U*>(y),
                   .axes = {}};
  for (std::size_t axis = 0; axis < view.rank; ++axis) {
    const bool last = axis + 1 == view.rank;
    body.axes.add(last ? view.sizes[axis] / width : view.sizes[axis],
                  last ? view.steps[axis] : view.steps[axis] / width);
  }
  launch_elementwise(device, body, view.count / width, false);
}

/// Copies the view by tiles over its row and the axis that is innermost in the input.
template <class V>
void copy_tiles(Device& device, const StridedView& view, std::size_t inner, const V* x, V* y) {
  const std::size_t last = view.rank - 1;
  TransposeView<V> p{.x = x + view.offset,
                     .y = y,
                     .x_planes = {},
                     .y_planes = {},
                     .down = Divisor(blocks_for(view.sizes[inner], kTransposeTile)),
                     .across = Divisor(blocks_for(view.row(), kTransposeTile)),
                     .rows = view.sizes[inner],
                     .columns = view.row(),
                     .x_column = view.row_step(),
                     .y_row = 0};
  for (std::size_t axis = 0; axis < last; ++axis) {
    std::int64_t y_step = 1;
    for (std::size_t i = axis + 1; i < view.rank; ++i) y_step *= view.sizes[i];
    if (axis == inner) {
      p.y_row = y_step;
      continue;
    }
    p.x_planes.add(view.sizes[axis], view.steps[axis]);
    p.y_planes.add(view.sizes[axis], y_step);
  }
  const std::int64_t planes = view.count / (p.rows * p.columns);
  const Grid grid{.blocks = planes * p.down.value * p.across.value,
                  .threads = kTransposeThreads,
                  .shared_bytes = kTransposeShared};
  launch<transpose_view<V>>(device, grid, p);
}

template <class V>
Status copy_view(Device& device, Arguments& in, const StridedView& view) {
  const V* x = in.buffer<V>(0, in.count(1));
  V* y = in.buffer<V>(1, view.count);
  if (!in.ok() || view.count == 0) return in.status();
  if (view.row_step() != 1 && view.row_step() != 0) {
    for (std::size_t axis = 0; axis + 1 < view.rank; ++axis) {
      if (view.steps[axis] != 1) continue;
      copy_tiles(device, view, axis, x, y);
      return {};
    }
  }
  if (sizeof(V) == 4 && by_fours(view) && all_aligned({x, y}, 16)) {
    copy_elements<Bytes16>(device, view, x, y, 4);
  } else {
    copy_elements<V>(device, view, x, y, 1);
  }
  return {};
}

// buffers: x, y. numbers: [elementBytes, xCount, offset, axes, sizes… (axes), steps… (axes)]; elementBytes 1 or 4. Element (i, j, …) of y
// is element offset + i * steps[0] + j * steps[1] + … of x.
Status strided_copy(Device& device, const OpArguments& arguments) {
  Arguments in("DmStridedCopy", arguments, 2, 4);
  const std::int64_t size = in.count(0);
  const StridedView view = read_strided_view(in, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return copy_view<std::uint32_t>(device, in, view);
  if (size == 1) return copy_view<std::uint8_t>(device, in, view);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_strided_copy(DeviceOpTable& table) { table.add("DmStridedCopy", strided_copy); }

}  // namespace dm::cuda
