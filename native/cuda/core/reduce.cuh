// SPDX-License-Identifier: Apache-2.0
// Sums over a warp and over a block, always in the same order.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

constexpr int kWarp = 32;

/// The sum over the lanes of a warp, in every lane.
template <class T>
DM_DEVICE T warp_sum(T value) {
  DM_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

/// The largest value of a warp, in every lane.
DM_DEVICE float warp_max(float value) {
  DM_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = fmaxf(value, shuffle_xor(value, mask));
  return value;
}

/// The sum over a block of whole warps, in every thread. `warps` is shared memory for one number a warp; a block_sync comes before and after.
template <class T>
DM_DEVICE T block_sum(T value, T* warps) {
  const T own = warp_sum(value);
  block_sync();
  if (thread_index() % kWarp == 0) warps[thread_index() / kWarp] = own;
  block_sync();
  T sum = 0;
  for (int i = 0; i < block_threads() / kWarp; ++i) sum += warps[i];
  return sum;
}

}  // namespace dm::cuda
