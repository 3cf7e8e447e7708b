// SPDX-License-Identifier: Apache-2.0
// PadV2 and MirrorPad on a device: buffers and numbers as in cpu/pad.cc.
#include "cuda/pad.cuh"

#include <algorithm>
#include <string>

#include "cuda/core/dtype-value.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

struct Counts {
  std::int64_t x = 1, y = 1;
};

/// Reads `[rank, shape…, before…, after…]` from number 2 on, and the buffers x and y.
template <class V, Margin kMargin>
Counts read_axes(Arguments& in, Pad<V, kMargin>& pad) {
  Counts counts;
  const auto rank = static_cast<std::size_t>(in.count(2));
  if (rank > kMaxRank) in.fail("a rank of at most 8", std::to_string(rank));
  pad.rank = in.ok() ? static_cast<int>(rank) : 0;
  for (std::size_t i = rank; i-- > 0 && in.ok();) {
    pad.size[i] = in.count(3 + i);
    pad.before[i] = in.count(3 + rank + i);
    pad.step[i] = counts.x;
    const std::int64_t after = in.count(3 + 2 * rank + i);
    const std::int64_t padded = pad.before[i] + pad.size[i] + after;
    const std::int64_t most = pad.size[i] - 1 + (kMargin == Margin::kSymmetric ? 1 : 0);
    if (kMargin != Margin::kValue && std::max(pad.before[i], after) > std::max<std::int64_t>(0, most)) {
      in.fail("a margin of at most " + std::to_string(most),
              std::to_string(std::max(pad.before[i], after)));
    }
    pad.padded[i] = Divisor(std::max<std::int64_t>(1, padded));
    counts.x = in.elements({counts.x, pad.size[i]});
    counts.y = in.elements({counts.y, padded});
  }
  pad.x = in.buffer<V>(0, counts.x);
  pad.y = in.buffer<V>(1, counts.y);
  return counts;
}

template <class V, Margin kMargin>
Status launch_pad(Device& device, Arguments& in, V value) {
  Pad<V, kMargin> body{};
  const Counts counts = read_axes(in, body);
  body.value = value;
  if (in.ok()) launch_elementwise(device, body, counts.y, false);
  return in.status();
}

// buffers: x, y. numbers: [dtype, value, rank, shape…, before…, after…]; an int32 or bool value must be in the range of its type.
Status pad(Device& device, const OpArguments& arguments) {
  Arguments in("PadV2", arguments, 2, 3);
  return with_dtype(in.dtype(0), [&](auto zero) {
    using V = decltype(zero);
    return launch_pad<V, Margin::kValue>(device, in, read_value<V>(in, 1));
  });
}

template <class V>
Status mirror(Device& device, Arguments& in) {
  if (in.flag(1)) return launch_pad<V, Margin::kSymmetric>(device, in, 0);
  return launch_pad<V, Margin::kReflect>(device, in, 0);
}

// buffers: x, y. numbers: [elementBytes, repeats, rank, shape…, before…, after…]; repeats is 1 when the outermost values are mirrored
// too (symmetric), 0 when not (reflect).
Status mirror_pad(Device& device, const OpArguments& arguments) {
  Arguments in("MirrorPad", arguments, 2, 3);
  const std::int64_t size = in.count(0);
  if (size == 4) return mirror<std::uint32_t>(device, in);
  if (size == 1) return mirror<std::uint8_t>(device, in);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_pad(DeviceOpTable& table) {
  table.add("MirrorPad", mirror_pad);
  table.add("PadV2", pad);
}

}  // namespace dm::cuda
