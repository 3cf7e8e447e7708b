// SPDX-License-Identifier: Apache-2.0
// The largest elements of each row, of equal ones the first: one block a row finds the largest below the last one found, k times. An element and
// its place are one number, so that no two are equal.
//
// R rows, C width.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kTopThreads = 256;
constexpr std::size_t kTopShared = kTopThreads / kWarp * sizeof(std::uint64_t);

template <class T>
struct TopK {
  const T* x;             ///< [R, C]
  T* values;              ///< [R, k]
  std::int32_t* indices;  ///< [R, k]
  int width;              ///< C
  int k;
};

/// Words in the order of the numbers; NaN below all of them, and -0 as 0.
DM_DEVICE std::uint32_t ordered(float x) {
  if (x != x) return 0;
  const std::uint32_t bits = float_bits(x == 0.0f ? 0.0f : x);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}
DM_DEVICE std::uint32_t ordered(std::int32_t x) {
  return static_cast<std::uint32_t>(x) ^ 0x80000000u;
}

/// Larger for a larger element, then for a lower place; never 0.
template <class T>
DM_DEVICE std::uint64_t rank_of(T x, int place) {
  return (static_cast<std::uint64_t>(ordered(x)) << 32) | (0xffffffffu - static_cast<unsigned>(place));
}

/// The largest of a block, in every thread.
DM_DEVICE std::uint64_t block_largest(std::uint64_t value, std::uint64_t* warps) {
  DM_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const std::uint64_t other = shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  block_sync();
  if (thread_index() % kWarp == 0) warps[thread_index() / kWarp] = value;
  block_sync();
  std::uint64_t most = warps[0];
  for (int i = 1; i < kTopThreads / kWarp; ++i) most = warps[i] > most ? warps[i] : most;
  return most;
}

template <class T>
DM_KERNEL(kTopThreads, 4)
top_k(TopK<T> p) {
  auto* const warps = reinterpret_cast<std::uint64_t*>(shared_memory());
  const std::int64_t row = block_index();
  const T* x = p.x + row * p.width;
  std::uint64_t last = ~std::uint64_t{0};
  for (int i = 0; i < p.k; ++i) {
    std::uint64_t most = 0;
    for (int place = thread_index(); place < p.width; place += kTopThreads) {
      const std::uint64_t rank = rank_of(x[place], place);
      if (rank < last && rank > most) most = rank;
    }
    last = block_largest(most, warps);
    if (thread_index() == 0) {
      const auto place = static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(last));
      p.values[row * p.k + i] = x[place];
      p.indices[row * p.k + i] = place;
    }
  }
}

}  // namespace dm::cuda
