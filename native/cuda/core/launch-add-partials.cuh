// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/core/add-partials.cuh"
#include "cuda/core/launch.cuh"

namespace dm::cuda {

/// first [C], and second [C] where `p.sums` is 2, from partials [P, S, C].
inline void launch_add_partials(Device& device, const AddPartials& p) {
  launch<add_partials>(device,
                       {.blocks = blocks_for(p.width, kWarp),
                        .blocks_y = p.sums,
                        .threads = kAddPartialsThreads,
                        .shared_bytes = kAddPartialsShared},
                       p);
}

}  // namespace dm::cuda
