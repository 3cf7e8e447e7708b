// SPDX-License-Identifier: Apache-2.0
// DmDiffuse on a device: buffers and numbers as in cpu/diffuse.cc. A patch whose index is outside 0..T-1 is NaN.
#include "cuda/diffuse.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: patches [B, T, P], indices int32 [B, M], signal [B], noiseScale [B], keys int32 [B, 4] or noise [B, M, P], y [B, M, P].
// numbers: [B, T, M, P, keyed].
Status add_noise(Device& device, const OpArguments& arguments) {
  Arguments in("DmDiffuse", arguments, 6, 5);
  const std::int64_t batch = in.count(0);
  const std::int64_t tokens = in.count(1);
  const std::int64_t masked = in.count(2);
  const std::int64_t values = in.count(3);
  const bool keyed = in.flag(4);
  const std::int64_t all = in.elements({batch, masked, values});
  Diffuse p{.clean = in.buffer<float>(0, in.elements({batch, tokens, values})),
            .indices = in.buffer<std::int32_t>(1, in.elements({batch, masked})),
            .signal = in.buffer<float>(2, batch),
            .scale = in.buffer<float>(3, batch),
            .keys = keyed ? in.buffer<std::int32_t>(4, in.elements({batch, 4})) : nullptr,
            .noise = keyed ? nullptr : in.buffer<float>(4, all),
            .y = in.buffer<float>(5, all),
            .blocks = 0,
            .tokens = tokens,
            .masked = masked,
            .sample_blocks = {},
            .values = {}};
  if (!in.ok() || all == 0) return in.status();
  const std::int64_t sample_blocks = blocks_for(masked * values, 4);
  p.blocks = batch * sample_blocks;
  p.sample_blocks = Divisor(sample_blocks);
  p.values = Divisor(values);
  const Grid grid{.blocks = blocks_for(p.blocks, kDiffuseThreads), .threads = kDiffuseThreads};
  if (values % 4 == 0 && all_aligned({p.clean, p.noise, p.y}, 16)) {
    launch<diffuse<true>>(device, grid, p);
  } else {
    launch<diffuse<false>>(device, grid, p);
  }
  return {};
}

}  // namespace

void register_diffuse(DeviceOpTable& table) { table.add("DmDiffuse", add_noise); }

}  // namespace dm::cuda
