// SPDX-License-Identifier: Apache-2.0
// DmGatherTokens and DmScatterTokens on a device: buffers and numbers as in cpu/gather-tokens.cc. An index outside 0..T-1 gives NaN (0 of
// int32 and bool) when gathered, and is left out when scattered: nobody can refuse it without waiting for the device.
#include "cuda/gather-tokens.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-copy-rows.cuh"
#include "cuda/core/launch-slices.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

constexpr std::uint32_t kNan = 0x7fc00000u;

// buffers: x [B, T, C], indices int32 [B, N], y [B, N, C]. numbers: [dtype, B, T, N, C].
Status gather(Device& device, const OpArguments& arguments) {
  Arguments in("DmGatherTokens", arguments, 3, 5);
  const DType dtype = in.dtype(0);
  const std::size_t size = Arguments::size_of(dtype);
  const std::int64_t batch = in.count(1);
  const std::int64_t tokens = in.count(2);
  const std::int64_t count = in.count(3);
  const std::int64_t width = in.count(4);
  const std::int64_t rows = in.elements({batch, count});
  const void* x = in.bytes(0, in.elements({batch, tokens, width}), size);
  const std::int32_t* indices = in.buffer<std::int32_t>(1, rows);
  void* y = in.bytes(2, in.elements({rows, width}), size);
  if (!in.ok() || rows == 0) return in.status();
  const IndexedRow source{
      .indices = indices, .count = Divisor(count), .planes = Divisor(1), .rows = tokens};
  launch_copy_rows(device, x, y, rows, width * static_cast<std::int64_t>(size), source,
                   dtype == DType::kFloat32 ? kNan : 0);
  return {};
}

/// With many indices of a sample. A sum begins with -0, so that of a single -0 it is -0.
template <class V>
void scatter_sorted(Device& device, const ScatterTokens<V>& p, const SliceSizes& s) {
  launch_elementwise(device, FillAll<V>{p.y, 0}, p.rows * p.width, all_aligned({p.y}, 16));
  add_by_sorting(device, p.x, p.y, index_key(p.indices, s), s, static_cast<V>(-V{0}));
}

template <class V>
Status scatter_rows(Device& device, Arguments& in) {
  const std::int64_t tokens = in.count(2);
  const std::int64_t count = in.count(3);
  const std::int64_t width = in.count(4);
  const std::int64_t rows = in.elements({in.count(1), tokens});
  const std::int64_t given = in.elements({in.count(1), count});
  ScatterTokens<V> p{.x = in.buffer<V>(0, in.elements({given, width})),
                     .indices = in.buffer<std::int32_t>(1, given),
                     .y = in.buffer<V>(2, in.elements({rows, width})),
                     .rows = rows,
                     .count = count,
                     .width = width,
                     .tokens = {},
                     .fours = false};
  if (!in.ok() || rows == 0) return in.status();
  const SliceSizes sizes{
      .batch = in.count(1), .planes = 1, .count = count, .targets = tokens, .width = width};
  if (width > 0 && sorts_places(sizes, rows)) {
    scatter_sorted(device, p, sizes);
    return {};
  }
  p.tokens = Divisor(tokens);
  p.fours = width % 4 == 0 && all_aligned({p.x, p.y}, 16);
  const Grid grid{.blocks = blocks_for(rows, kScatterWarps), .threads = kScatterWarps * kWarp};
  launch<scatter_tokens<V>>(device, grid, p);
  return {};
}

// buffers: x [B, N, C], indices int32 [B, N], y [B, T, C]. numbers: [dtype, B, T, N, C]. Equal indices add up in rising order.
Status scatter(Device& device, const OpArguments& arguments) {
  Arguments in("DmScatterTokens", arguments, 3, 5);
  switch (in.dtype(0)) {
    case DType::kFloat32:
      return scatter_rows<float>(device, in);
    case DType::kInt32:  // unsigned: sums wrap around
      return scatter_rows<std::uint32_t>(device, in);
    case DType::kBool:
      break;
  }
  in.fail("float32 or int32", "bool");
  return in.status();
}

}  // namespace

void register_gather_tokens(DeviceOpTable& table) {
  table.add("DmGatherTokens", gather);
  table.add("DmScatterTokens", scatter);
}

}  // namespace dm::cuda
