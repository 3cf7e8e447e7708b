// SPDX-License-Identifier: Apache-2.0
// DmDiffuse on a device. A patch whose index is outside 0..T-1 is NaN.
#include "cuda/diffuse.cuh"

#include "core/diffuse-arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

Status add_noise(Device& device, const OpArguments& arguments) {
  const DiffuseArguments given(arguments);
  if (!given.in.ok() || given.all == 0) return given.in.status();
  const std::int64_t sample_blocks = blocks_for(given.masked * given.values, 4);
  const Diffuse p{.clean = given.clean,
                  .indices = given.indices,
                  .signal = given.signal,
                  .scale = given.scale,
                  .keys = given.keys,
                  .noise = given.noise,
                  .y = given.y,
                  .blocks = given.batch * sample_blocks,
                  .tokens = given.tokens,
                  .masked = given.masked,
                  .sample_blocks = Divisor(sample_blocks),
                  .values = Divisor(given.values)};
  const Grid grid{.blocks = blocks_for(p.blocks, kDiffuseThreads), .threads = kDiffuseThreads};
  if (given.values % 4 == 0 && all_aligned({p.clean, p.noise, p.y}, 16)) {
    launch<diffuse<true>>(device, grid, p);
  } else {
    launch<diffuse<false>>(device, grid, p);
  }
  return {};
}

}  // namespace

void register_diffuse(DeviceOpTable& table) { table.add("DmDiffuse", add_noise); }

}  // namespace dm::cuda
