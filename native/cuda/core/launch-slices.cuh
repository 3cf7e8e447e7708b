// SPDX-License-Identifier: Apache-2.0
// Launches of core/sorted-slices.cuh, and when core/slices.cuh and its like do without sorting.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda/core/launch-elementwise.cuh"
#include "cuda/core/launch-radix-sort.cuh"
#include "cuda/core/sorted-slices.cuh"

namespace dm::cuda {

/// B batches of O planes, N slices and D places of a plane, C elements of a slice.
struct SliceSizes {
  std::int64_t batch, planes, count, targets, width;

  std::int64_t entries() const { return batch * count; }
};

/// Whether the places are sorted; otherwise each of `warps` warps looks through those of its group, 32 at a time. Sorting is about ten launches and
/// some dozen operations an entry, however many are equal. Looking is one launch of `warps` N / 32 looks of about ten operations: 2^21 of them
/// keep 500 schedulers busy for as long as ten launches take. It adds the slices of a place one after another in one warp, hence at most
/// 1024. What exceeds the sort's words is looked through too.
inline bool sorts_places(const SliceSizes& s, std::int64_t warps) {
  constexpr std::int64_t kMostCount = 1024;
  constexpr std::int64_t kMostLooks = std::int64_t{1} << 21;
  const bool fits = s.entries() <= std::numeric_limits<std::int32_t>::max() &&
                    s.batch * s.targets < std::numeric_limits<std::uint32_t>::max();
  return fits && (s.count > kMostCount || warps * blocks_for(s.count, kWarp) > kMostLooks);
}

/// The place of entry i among all batches', B D where its index is outside.
struct IndexKey {
  const std::int32_t* indices;  ///< [B, N]
  Divisor count;                ///< N
  std::int64_t targets;         ///< D
  std::uint32_t outside;        ///< B D

  DM_DEVICE std::uint32_t operator()(std::int64_t i) const {
    const std::int32_t index = indices[i];
    if (index < 0 || index >= targets) return outside;
    return static_cast<std::uint32_t>(count.quotient(i) * targets + index);
  }
};
inline IndexKey index_key(const std::int32_t* indices, const SliceSizes& s) {
  return {indices, Divisor(s.count), s.targets, static_cast<std::uint32_t>(s.batch * s.targets)};
}

/// The keys of all entries. Not by fours.
template <class Key>
struct WriteKeys {
  Key key;
  std::uint32_t* keys;  ///< [E]

  DM_DEVICE void operator()(std::int64_t i) const { keys[i] = key(i); }
  DM_DEVICE void four(std::int64_t) const {}
};

/// Sorts the entries by `key(entry)`, which is at most B D, and calls run(SortedSlices<V>) with what comes out; `parts` are there for sums.
template <class V, class Key, class Run>
void with_sorted(Device& device, const V* x, V* y, const Key& key, const SliceSizes& s, bool sums,
                 const Run& run) {
  const std::int64_t entries = s.entries();
  const auto outside = static_cast<std::uint32_t>(s.batch * s.targets);
  const std::int64_t columns = s.planes * s.width;
  ScratchPlan plan;
  const RadixSort sort(plan, 1, entries, bits_of(outside));
  const std::size_t parts = plan.add(
      sums ? blocks_for(entries, kPiece) * columns * static_cast<std::int64_t>(sizeof(V)) : 0);
  if (!plan.take(device)) return;
  launch_elementwise(device, WriteKeys<Key>{key, sort.keys()}, entries, false);
  const RadixSort::Sorted sorted = sort.run(device, 1);
  run(SortedSlices<V>{.x = x,
                      .places = sorted.keys,
                      .sources = sorted.places,
                      .y = y,
                      .parts = static_cast<V*>(plan.at(parts)),
                      .start = V{0},
                      .entries = entries,
                      .count = s.count,
                      .planes = s.planes,
                      .columns = columns,
                      .targets = s.targets,
                      .batch = Divisor(s.targets),
                      .width = Divisor(s.width),
                      .outside = outside,
                      .column_blocks = 1});
}

/// y [B, O, D, C], which is 0 before, of x [B, O, N, C]: the sum of the slices of each place, each of which begins with `start`. No size is 0.
template <class V, class Key>
void add_by_sorting(Device& device, const V* x, V* y, const Key& key, const SliceSizes& s,
                    V start) {
  constexpr std::int64_t kMostColumnBlocks = 65535;
  with_sorted(device, x, y, key, s, true, [&](SortedSlices<V> p) {
    const std::int64_t windows = blocks_for(p.entries, kPiece);
    const auto grid_of = [&](std::int64_t blocks, std::int64_t columns) {
      const std::int64_t y_blocks = std::min(blocks_for(p.columns, columns), kMostColumnBlocks);
      p.column_blocks = static_cast<int>(y_blocks);
      return Grid{.blocks = blocks, .blocks_y = y_blocks, .threads = kSortedWarps * kWarp};
    };
    p.start = start;
    const Grid all = grid_of(blocks_for(p.entries + windows, kSortedWarps), kSortedWidth);
    launch<add_sorted<V>>(device, all, p);
    if (windows == 1) return;
    Grid long_ones = grid_of(windows, kWarp);
    long_ones.shared_bytes = kSortedWarps * kWarp * sizeof(V);
    launch<add_pieces<V>>(device, long_ones, p);
  });
}

/// y [D, C]: the last slice of x [N, C] of each place; what has none stays. B and O are 1, no size is 0.
template <class V, class Key>
void put_by_sorting(Device& device, const V* x, V* y, const Key& key, const SliceSizes& s) {
  with_sorted(device, x, y, key, s, false, [&](const SortedSlices<V>& p) {
    const Grid grid{.blocks = blocks_for(p.entries, kSortedWarps), .threads = kSortedWarps * kWarp};
    launch<put_sorted<V>>(device, grid, p);
  });
}

}  // namespace dm::cuda
