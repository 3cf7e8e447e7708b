// SPDX-License-Identifier: Apache-2.0
// Slices put at places, several of which may be equal: one warp a slice. The first of equal places adds up all of them in rising order, and the
// last of them holds where one replaces another, so nothing is atomic and every result repeats bit for bit. Reads the places of a group once
// for each of its slices.
//
// G groups (B batches of O), N slices of a group, D places of a group, C elements of a slice.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kSliceWarps = 8;

template <class V, class Index>
struct Slices {
  const V* x;           ///< [G, N, C]
  const Index* places;  ///< [B, N]; those outside 0..D-1 are left out
  V* y;                 ///< [G, D, C]; 0 where nothing is put, for sums
  Divisor count;        ///< N
  Divisor groups;       ///< O
  std::int64_t slices;  ///< G N
  std::int64_t targets; ///< D
  std::int64_t width;   ///< C
};

/// A warp's slice, and whether it has a place.
template <class Index>
struct OwnSlice {
  const Index* places;  ///< [N] of its group
  std::int64_t group, at;
  Index place;
  bool inside;
};
template <class V, class Index>
DM_DEVICE OwnSlice<Index> own_slice(const Slices<V, Index>& p) {
  const std::int64_t slice =
      static_cast<std::int64_t>(block_index()) * kSliceWarps + thread_index() / kWarp;
  if (slice >= p.slices) return {nullptr, 0, 0, 0, false};
  std::int64_t group = slice;
  const std::int64_t at = take_remainder(group, p.count);
  const Index* places = p.places + p.groups.quotient(group) * p.count.value;
  const Index place = places[at];
  return {places, group, at, place, place >= 0 && place < p.targets};
}

/// Whether one of the slices begin..end-1 of the group has the same place.
template <class Index>
DM_DEVICE bool any_alike(const OwnSlice<Index>& own, std::int64_t begin, std::int64_t end) {
  for (std::int64_t base = begin; base < end; base += kWarp) {
    const std::int64_t i = base + thread_index() % kWarp;
    if (ballot(i < end && own.places[i] == own.place) != 0) return true;
  }
  return false;
}

/// y += the slices of each place. y is 0 before.
template <class V, class Index>
DM_KERNEL(kSliceWarps* kWarp, 4)
add_slices(Slices<V, Index> p) {
  const OwnSlice<Index> own = own_slice(p);
  if (!own.inside || any_alike(own, 0, own.at)) return;
  const int lane = thread_index() % kWarp;
  V* y = p.y + (own.group * p.targets + own.place) * p.width;
  const V* x = p.x + own.group * p.count.value * p.width;
  for (std::int64_t base = own.at; base < p.count.value; base += kWarp) {
    const bool alike = base + lane < p.count.value && own.places[base + lane] == own.place;
    for (std::uint32_t found = ballot(alike); found != 0; found &= found - 1) {
      const V* slice = x + (base + lowest_bit(found)) * p.width;
      for (std::int64_t c = lane; c < p.width; c += kWarp) y[c] = static_cast<V>(y[c] + slice[c]);
    }
  }
}

/// y = the last slice of each place; what has none stays.
template <class V, class Index>
DM_KERNEL(kSliceWarps* kWarp, 4)
put_slices(Slices<V, Index> p) {
  const OwnSlice<Index> own = own_slice(p);
  if (!own.inside || any_alike(own, own.at + 1, p.count.value)) return;
  V* y = p.y + (own.group * p.targets + own.place) * p.width;
  const V* x = p.x + (own.group * p.count.value + own.at) * p.width;
  for (std::int64_t c = thread_index() % kWarp; c < p.width; c += kWarp) y[c] = x[c];
}

}  // namespace dm::cuda
