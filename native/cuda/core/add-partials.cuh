// SPDX-License-Identifier: Apache-2.0
// The last step of sums over many blocks: a block adds partial rows of 32 columns, each of its warps every eighth row, and then the warps, in
// order: the same bits each time.
//
// P parts, S sums, C width.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kAddPartialsWarps = 8;
constexpr int kAddPartialsThreads = kAddPartialsWarps * kWarp;
constexpr std::size_t kAddPartialsShared = kAddPartialsThreads * sizeof(float);

struct AddPartials {
  const float* partials;  ///< [P, S, C]
  float* first;           ///< [C]: sum 0
  float* second;          ///< [C]: sum 1, where S is 2
  int parts;
  int sums;
  int width;
};

/// One block 32 columns, one y block a sum.
DM_KERNEL(kAddPartialsThreads, 4)
add_partials(AddPartials p) {
  auto* const of_warps = reinterpret_cast<float*>(shared_memory());
  const int column = block_index() * kWarp + thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  float sum = 0;
  if (column < p.width) {
    for (int part = warp; part < p.parts; part += kAddPartialsWarps) {
      sum += p.partials[(static_cast<std::int64_t>(part) * p.sums + block_index_y()) * p.width +
                        column];
    }
  }
  of_warps[thread_index()] = sum;
  block_sync();
  if (warp > 0 || column >= p.width) return;
  for (int w = 1; w < kAddPartialsWarps; ++w) sum += of_warps[w * kWarp + column % kWarp];
  (block_index_y() == 0 ? p.first : p.second)[column] = sum;
}

}  // namespace dm::cuda
