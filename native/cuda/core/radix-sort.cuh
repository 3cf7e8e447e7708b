// SPDX-License-Identifier: Apache-2.0
// Sorts words, rising and stable, eight bits at a time from the lowest: tiles count their digits, the counts of each digit are added up over the
// tiles, and each element goes to where its digit begins plus its rank among its likes. Segments of one length are sorted each for itself.
//
// S segments, N words of a segment, T tiles of a segment.
#pragma once

#include "cuda/core/digits.cuh"
#include "cuda/core/divide.cuh"

namespace dm::cuda {

constexpr int kSortRounds = 8;
constexpr int kSortPart = kSortRounds * kWarp;  // of a warp
constexpr std::int64_t kSortTile = kDigitWarps * kSortPart;
constexpr int kCountWarps = 8;

struct SortPass {
  const std::uint32_t* keys;    ///< [S, N]
  const std::int32_t* values;   ///< [S, N]; null: the places in the segment
  std::uint32_t* sorted_keys;   ///< [S, N]
  std::int32_t* sorted_values;  ///< [S, N]
  std::int32_t* counts;         ///< [S, digits, T]: of a tile; then of the tiles before
  std::int32_t* totals;         ///< [S, digits]
  std::int64_t length;          ///< N
  std::int64_t rows;            ///< S digits
  Divisor tiles;                ///< T
  int shift;                    ///< of the digit that is sorted by
};

/// A warp's part of a block's tile.
struct SortPart {
  std::int64_t segment, tile;
  std::int64_t first;  ///< of this lane, in the segment; the next ones are kWarp apart
};
DM_DEVICE SortPart sort_part(const SortPass& p) {
  std::int64_t segment = block_index();
  const std::int64_t tile = take_remainder(segment, p.tiles);
  return {segment, tile,
          tile * kSortTile + thread_index() / kWarp * kSortPart + thread_index() % kWarp};
}

/// counts, of each tile. One block a tile.
DM_KERNEL(kDigitThreads, 4)
count_sort_tiles(SortPass p) {
  auto* const counts = reinterpret_cast<std::int32_t*>(shared_memory());
  const SortPart part = sort_part(p);
  const std::uint32_t* keys = p.keys + part.segment * p.length;
  clear_counts(counts);
  block_sync();
  for (int round = 0; round < kSortRounds; ++round) {
    const std::int64_t i = part.first + round * kWarp;
    const bool inside = i < p.length;
    count_digit(counts + thread_index() / kWarp * kDigits, inside ? digit_of(keys[i], p.shift) : 0,
                inside);
  }
  block_sync();
  const int digit = thread_index();
  std::int32_t count = 0;
  for (int w = 0; w < kDigitWarps; ++w) count += counts[w * kDigits + digit];
  p.counts[(part.segment * kDigits + digit) * p.tiles.value + part.tile] = count;
}

/// counts become those of the tiles before, and totals. One warp a digit of a segment.
DM_KERNEL(kCountWarps* kWarp, 4)
add_sort_counts(SortPass p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kCountWarps + thread_index() / kWarp;
  if (row >= p.rows) return;
  std::int32_t* counts = p.counts + row * p.tiles.value;
  std::int32_t total = 0;
  for (std::int64_t base = 0; base < p.tiles.value; base += kWarp) {
    const std::int64_t tile = base + thread_index() % kWarp;
    const bool inside = tile < p.tiles.value;
    int all = 0;
    const int before = warp_before(inside ? counts[tile] : 0, all);
    if (inside) counts[tile] = total + before;
    total += all;
  }
  if (thread_index() % kWarp == 0) p.totals[row] = total;
}

/// sorted_keys and sorted_values. One block a tile.
DM_KERNEL(kDigitThreads, 4)
move_sort_tiles(SortPass p) {
  auto* const counts = reinterpret_cast<std::int32_t*>(shared_memory());
  std::int32_t* const own = counts + thread_index() / kWarp * kDigits;
  const SortPart part = sort_part(p);
  const std::int64_t begin = part.segment * p.length;
  clear_counts(counts);
  block_sync();
  std::uint32_t keys[kSortRounds];
  int ranks[kSortRounds];
  DM_UNROLL
  for (int round = 0; round < kSortRounds; ++round) {
    const std::int64_t i = part.first + round * kWarp;
    const bool inside = i < p.length;
    keys[round] = inside ? p.keys[begin + i] : 0;
    ranks[round] = count_digit(own, digit_of(keys[round], p.shift), inside);
  }
  const int digit = thread_index();
  const std::int64_t row = part.segment * kDigits + digit;
  int all = 0;
  int to = block_before(p.totals[row], counts + kDigitWarps * kDigits, all);
  to += p.counts[row * p.tiles.value + part.tile];
  for (int w = 0; w < kDigitWarps; ++w) {  // block_before has waited for the counts
    const int count = counts[w * kDigits + digit];
    counts[w * kDigits + digit] = to;
    to += count;
  }
  block_sync();
  DM_UNROLL
  for (int round = 0; round < kSortRounds; ++round) {
    const std::int64_t i = part.first + round * kWarp;
    if (i >= p.length) continue;
    const std::int64_t at = begin + own[digit_of(keys[round], p.shift)] + ranks[round];
    p.sorted_keys[at] = keys[round];
    p.sorted_values[at] = p.values == nullptr ? static_cast<std::int32_t>(i) : p.values[begin + i];
  }
}

}  // namespace dm::cuda
