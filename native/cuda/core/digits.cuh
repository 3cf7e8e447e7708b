// SPDX-License-Identifier: Apache-2.0
// Counts of digits by the warps of a block, and sums over the threads before: what sorting and selecting by digits are made of. Lanes of equal
// digits find each other by ballots and the first of them adds for all, so nothing is atomic and an element's rank among its likes is that of
// its place.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kDigitThreads = kDigits;  // a block has a thread for each digit
constexpr int kDigitWarps = kDigitThreads / kWarp;
/// Shared memory: counts [warps][digits], then a number for each warp.
constexpr std::size_t kDigitShared = (kDigitWarps * kDigits + kDigitWarps) * sizeof(std::int32_t);

DM_DEVICE int digit_of(std::uint32_t key, int shift) {
  return static_cast<int>((key >> shift) % kDigits);
}

/// Sets the counts to 0. A block_sync comes after.
DM_DEVICE void clear_counts(std::int32_t* counts) {
  for (int i = thread_index(); i < kDigitWarps * kDigits; i += kDigitThreads) counts[i] = 0;
}

/// Counts the digits of a warp's lanes, of those that are `inside`; all lanes call. `counts`: [digits] of this warp. How many of the same digit
/// were counted before, in earlier calls and by lower lanes.
DM_DEVICE int count_digit(std::int32_t* counts, int digit, bool inside) {
  std::uint32_t alike = ballot(inside);
  if (alike == 0) return 0;
  DM_UNROLL
  for (int bit = 0; bit < kDigitBits; ++bit) {
    const bool set = ((digit >> bit) & 1) != 0;
    const std::uint32_t with = ballot(set);
    alike &= set ? with : ~with;
  }
  const std::uint32_t below = alike & ((1u << (thread_index() % kWarp)) - 1);
  const int before = inside ? counts[digit] : 0;
  warp_sync();  // all have read
  if (inside && below == 0) counts[digit] = before + count_bits(alike);
  warp_sync();
  return before + count_bits(below);
}

/// The sum over the lanes before in a warp; `all` becomes the sum over the warp.
DM_DEVICE int warp_before(int value, int& all) {
  const int lane = thread_index() % kWarp;
  int sum = value;
  DM_UNROLL
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int other = shuffle_up(sum, distance);
    if (lane >= distance) sum += other;
  }
  all = shuffle(sum, kWarp - 1);
  return sum - value;
}

/// The sum over the threads before in a block of kDigitThreads; `all` becomes the sum over the block. `warps` is shared memory for a number a
/// warp; a block_sync comes before and after.
DM_DEVICE int block_before(int value, std::int32_t* warps, int& all) {
  int own = 0;
  int before = warp_before(value, own);
  block_sync();
  if (thread_index() % kWarp == 0) warps[thread_index() / kWarp] = own;
  block_sync();
  all = 0;
  for (int w = 0; w < kDigitWarps; ++w) {
    if (w < thread_index() / kWarp) before += warps[w];
    all += warps[w];
  }
  return before;
}

}  // namespace dm::cuda
