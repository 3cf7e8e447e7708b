// SPDX-License-Identifier: Apache-2.0
// GatherV2, its gradient and UnsortedSegmentSum on a device: buffers and numbers as in cpu/gather.cc. A slice whose index is outside is 0, since
// nobody can refuse it without waiting for the device; in sums it is left out.
#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-copy-rows.cuh"
#include "cuda/core/slices.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

/// B batches of O planes, D slices of a plane, N indices of a batch, C elements of a slice.
struct Sizes {
  std::int64_t batch, outer, axis, indices, slice;
};

/// Reads `[B, O, D, N, C]` from number `first` on.
Sizes read_sizes(Arguments& in, std::size_t first) {
  return {in.count(first), in.count(first + 1), in.count(first + 2), in.count(first + 3),
          in.count(first + 4)};
}

// buffers: x [B, O, D, C], indices int32 [B, N], y [B, O, N, C]. numbers: [elementBytes, B, O, D, N, C]; elementBytes 1 or 4.
Status gather(Device& device, const OpArguments& arguments) {
  Arguments in("GatherV2", arguments, 3, 6);
  const std::int64_t size = in.count(0);
  const Sizes s = read_sizes(in, 1);
  if (size != 1 && size != 4) in.fail("elements of 1 or 4 bytes", std::to_string(size));
  const std::int64_t slice = in.elements({s.slice, size});
  const std::int64_t slices = in.elements({s.batch, s.outer, s.indices});
  const void* x = in.bytes(0, in.elements({s.batch, s.outer, s.axis, slice}), 1);
  const std::int32_t* indices = in.buffer<std::int32_t>(1, in.elements({s.batch, s.indices}));
  void* y = in.bytes(2, in.elements({slices, slice}), 1);
  if (!in.ok() || slices == 0) return in.status();
  const IndexedRow source{.indices = indices,
                          .count = Divisor(s.indices),
                          .planes = Divisor(s.outer),
                          .rows = s.axis};
  launch_copy_rows(device, x, y, slices, slice, source);
  return {};
}

/// y[plane, d] = sum of x[plane, i] over the i whose index is d, in rising order; a batch has O planes.
void sum_slices(Device& device, const float* x, const std::int32_t* indices, const Sizes& s,
                float* y) {
  const std::int64_t planes = s.batch * s.outer;
  const std::int64_t count = planes * s.axis * s.slice;
  launch_elementwise(device, FillAll<float>{y, 0}, count, all_aligned({y}, 16));
  const std::int64_t slices = planes * s.indices;
  if (count == 0 || slices == 0) return;
  const Slices<float, std::int32_t> p{.x = x,
                                      .places = indices,
                                      .y = y,
                                      .count = Divisor(s.indices),
                                      .groups = Divisor(s.outer),
                                      .slices = slices,
                                      .targets = s.axis,
                                      .width = s.slice};
  const Grid grid{.blocks = blocks_for(slices, kSliceWarps), .threads = kSliceWarps * kWarp};
  launch<add_slices<float, std::int32_t>>(device, grid, p);
}

// buffers: dy [B, O, N, C], indices int32 [B, N], dx [B, O, D, C]. numbers: [B, O, D, N, C].
Status gather_grad(Device& device, const OpArguments& arguments) {
  Arguments in("DmGatherV2Grad", arguments, 3, 5);
  const Sizes s = read_sizes(in, 0);
  const float* dy = in.buffer<float>(0, in.elements({s.batch, s.outer, s.indices, s.slice}));
  const std::int32_t* indices = in.buffer<std::int32_t>(1, in.elements({s.batch, s.indices}));
  float* dx = in.buffer<float>(2, in.elements({s.batch, s.outer, s.axis, s.slice}));
  if (in.ok()) sum_slices(device, dy, indices, s, dx);
  return in.status();
}

// buffers: x [N, C], segmentIds int32 [N], y [D, C]. numbers: [D, N, C]. Slices of ids outside 0..D-1 are left out.
Status segment_sum(Device& device, const OpArguments& arguments) {
  Arguments in("UnsortedSegmentSum", arguments, 3, 3);
  const Sizes s{1, 1, in.count(0), in.count(1), in.count(2)};
  const float* x = in.buffer<float>(0, in.elements({s.indices, s.slice}));
  const std::int32_t* ids = in.buffer<std::int32_t>(1, s.indices);
  float* y = in.buffer<float>(2, in.elements({s.axis, s.slice}));
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
