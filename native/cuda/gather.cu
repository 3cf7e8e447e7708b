// SPDX-License-Identifier: Apache-2.0
// GatherV2, its gradient and UnsortedSegmentSum on a device: buffers and numbers as in cpu/gather.cc. A slice whose index is outside is 0, since
// nobody can refuse it without waiting for the device; in sums it is left out.
#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-copy-rows.cuh"
#include "cuda/core/launch-slices.cuh"
#include "cuda/core/slices.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

/// Reads `[B, O, D, N, C]` from number `first` on.
SliceSizes read_sizes(Arguments& in, std::size_t first) {
  return {.batch = in.count(first),
          .planes = in.count(first + 1),
          .count = in.count(first + 3),
          .targets = in.count(first + 2),
          .width = in.count(first + 4)};
}

// buffers: x [B, O, D, C], indices int32 [B, N], y [B, O, N, C]. numbers: [elementBytes, B, O, D, N, C]; elementBytes 1 or 4.
Status gather(Device& device, const OpArguments& arguments) {
  Arguments in("GatherV2", arguments, 3, 6);
  const std::int64_t size = in.count(0);
  const SliceSizes s = read_sizes(in, 1);
  if (size != 1 && size != 4) in.fail("elements of 1 or 4 bytes", std::to_string(size));
  const std::int64_t slice = in.elements({s.width, size});
  const std::int64_t slices = in.elements({s.batch, s.planes, s.count});
  const void* x = in.bytes(0, in.elements({s.batch, s.planes, s.targets, slice}), 1);
  const std::int32_t* indices = in.buffer<std::int32_t>(1, in.elements({s.batch, s.count}));
  void* y = in.bytes(2, in.elements({slices, slice}), 1);
  if (!in.ok() || slices == 0) return in.status();
  const IndexedRow source{.indices = indices,
                          .count = Divisor(s.count),
                          .planes = Divisor(s.planes),
                          .rows = s.targets};
  launch_copy_rows(device, x, y, slices, slice, source);
  return {};
}

/// y[plane, d] = sum of x[plane, i] over the i whose index is d, in rising order; a batch has O planes.
void sum_slices(Device& device, const float* x, const std::int32_t* indices, const SliceSizes& s,
                float* y) {
  const std::int64_t planes = s.batch * s.planes;
  const std::int64_t count = planes * s.targets * s.width;
  launch_elementwise(device, FillAll<float>{y, 0}, count, all_aligned({y}, 16));
  const std::int64_t slices = planes * s.count;
  if (count == 0 || slices == 0) return;
  if (sorts_places(s, slices)) {
    add_by_sorting(device, x, y, index_key(indices, s), s, 0.0f);
    return;
  }
  const Slices<float, std::int32_t> p{.x = x,
                                      .places = indices,
                                      .y = y,
                                      .count = Divisor(s.count),
                                      .groups = Divisor(s.planes),
                                      .slices = slices,
                                      .targets = s.targets,
                                      .width = s.width};
  const Grid grid{.blocks = blocks_for(slices, kSliceWarps), .threads = kSliceWarps * kWarp};
  launch<add_slices<float, std::int32_t>>(device, grid, p);
}

// buffers: dy [B, O, N, C], indices int32 [B, N], dx [B, O, D, C]. numbers: [B, O, D, N, C].
Status gather_grad(Device& device, const OpArguments& arguments) {
  Arguments in("DmGatherV2Grad", arguments, 3, 5);
  const SliceSizes s = read_sizes(in, 0);
  const float* dy = in.buffer<float>(0, in.elements({s.batch, s.planes, s.count, s.width}));
  const std::int32_t* indices = in.buffer<std::int32_t>(1, in.elements({s.batch, s.count}));
  float* dx = in.buffer<float>(2, in.elements({s.batch, s.planes, s.targets, s.width}));
  if (in.ok()) sum_slices(device, dy, indices, s, dx);
  return in.status();
}

// buffers: x [N, C], segmentIds int32 [N], y [D, C]. numbers: [D, N, C]. Slices of ids outside 0..D-1 are left out.
Status segment_sum(Device& device, const OpArguments& arguments) {
  Arguments in("UnsortedSegmentSum", arguments, 3, 3);
  const SliceSizes s{.batch = 1,
                     .planes = 1,
                     .count = in.count(1),
                     .targets = in.count(0),
                     .width = in.count(2)};
  const float* x = in.buffer<float>(0, in.elements({s.count, s.width}));
  const std::int32_t* ids = in.buffer<std::int32_t>(1, s.count);
  float* y = in.buffer<float>(2, in.elements({s.targets, s.width}));
  if (in.ok()) sum_slices(device, x, ids, s, y);
  return in.status();
}

}  // namespace

void register_gather(DeviceOpTable& table) {
  table.add("DmGatherV2Grad", gather_grad);
  table.add("GatherV2", gather);
  table.add("UnsortedSegmentSum", segment_sum);
}

}  // namespace dm::cuda
