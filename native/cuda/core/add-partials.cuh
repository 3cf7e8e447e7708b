// SPDX-License-Identifier: Apache-2.0
// The last step of sums over many blocks: partial rows are added in order.
//
// P parts, S sums, C width.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

constexpr int kAddPartialsThreads = 128;

struct AddPartials {
  const float* partials;  ///< [P, S, C]
  float* first;           ///< [C]: sum 0
  float* second;          ///< [C]: sum 1, where S is 2
  int parts;
  int sums;
  int width;
};

/// One thread a column, one y block a sum.
DM_KERNEL(kAddPartialsThreads, 1)
add_partials(AddPartials p) {
  const int column = block_index() * kAddPartialsThreads + thread_index();
  if (column >= p.width) return;
  float sum = 0;
  for (int part = 0; part < p.parts; ++part) {
    sum += p.partials[(static_cast<std::int64_t>(part) * p.sums + block_index_y()) * p.width +
                      column];
  }
  (block_index_y() == 0 ? p.first : p.second)[column] = sum;
}

}  // namespace dm::cuda
