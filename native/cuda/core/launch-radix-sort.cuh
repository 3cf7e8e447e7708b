// SPDX-License-Identifier: Apache-2.0
// Launches of core/radix-sort.cuh: three for every eight bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "cuda/core/launch.cuh"
#include "cuda/core/radix-sort.cuh"
#include "cuda/core/scratch-plan.h"

namespace dm::cuda {

/// Sorts up to `segments` segments of `length` keys, each below 2^31 long, by their lowest `bits` bits. The keys are written to keys() before
/// each run().
class RadixSort {
 public:
  /// What comes out: keys rising, and the place that each had in its segment; of equal keys the lower place first.
  struct Sorted {
    const std::uint32_t* keys;   ///< [segments, length]
    const std::int32_t* places;  ///< [segments, length]
  };

  RadixSort(ScratchPlan& plan, std::int64_t segments, std::int64_t length, int bits)
      : plan_(plan),
        length_(length),
        tiles_(blocks_for(length, kSortTile)),
        bits_(bits),
        keys_{plan.add(4 * segments * length), plan.add(4 * segments * length)},
        places_{plan.add(4 * segments * length), plan.add(4 * segments * length)},
        counts_(plan.add(4 * segments * kDigits * tiles_)),
        totals_(plan.add(4 * segments * kDigits)) {}

  std::uint32_t* keys() const { return keys_at(0); }

  Sorted run(Device& device, std::int64_t segments) const {
    SortPass p{.keys = nullptr,
               .values = nullptr,
               .sorted_keys = nullptr,
               .sorted_values = nullptr,
               .counts = static_cast<std::int32_t*>(plan_.at(counts_)),
               .totals = static_cast<std::int32_t*>(plan_.at(totals_)),
               .length = length_,
               .rows = segments * kDigits,
               .tiles = Divisor(tiles_),
               .shift = 0};
    const Grid tiles{
        .blocks = segments * tiles_, .threads = kDigitThreads, .shared_bytes = kDigitShared};
    const Grid digits{.blocks = blocks_for(p.rows, kCountWarps), .threads = kCountWarps * kWarp};
    int from = 0;
    for (; p.shift < bits_; p.shift += kDigitBits, from = 1 - from) {
      p.keys = keys_at(from);
      p.values = p.shift == 0 ? nullptr : places_at(from);
      p.sorted_keys = keys_at(1 - from);
      p.sorted_values = places_at(1 - from);
      launch<count_sort_tiles>(device, tiles, p);
      launch<add_sort_counts>(device, digits, p);
      launch<move_sort_tiles>(device, tiles, p);
    }
    return {keys_at(from), places_at(from)};
  }

 private:
  std::uint32_t* keys_at(int i) const { return static_cast<std::uint32_t*>(plan_.at(keys_[i])); }
  std::int32_t* places_at(int i) const { return static_cast<std::int32_t*>(plan_.at(places_[i])); }

  const ScratchPlan& plan_;
  std::int64_t length_, tiles_;
  int bits_;
  std::size_t keys_[2], places_[2];
  std::size_t counts_, totals_;
};

/// The bits of the largest key, one at least.
inline int bits_of(std::uint32_t largest) {
  return std::max(1, static_cast<int>(std::bit_width(largest)));
}

}  // namespace dm::cuda
