// SPDX-License-Identifier: Apache-2.0
// Slices put at places, several of which may be equal, after they were sorted by place: the slices of a place are neighbours, in the order they
// came in. They are added from the first on, in pieces of 128 that are added up in order, so the sum of up to 128 slices is that of one after
// another, and every result repeats bit for bit.
//
// B batches of O planes, N slices of a plane, D places of a plane, C elements of a slice; E = B N entries, the same ones for all planes of a
// batch; Q = O C columns, all that an entry moves.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kPiece = 128;  // entries
constexpr int kSortedWarps = 8;
constexpr int kSortedColumns = 4;  // of a lane
constexpr int kSortedWidth = kSortedColumns * kWarp;

template <class V>
struct SortedSlices {
  const V* x;                   ///< [B, O, N, C]
  const std::uint32_t* places;  ///< [E], rising: b D + d; B D for those that are left out
  const std::int32_t* sources;  ///< [E]: b N + n
  V* y;                         ///< [B, O, D, C]; for sums, 0 where nothing is put
  V* parts;  ///< [E / 128 rounded up, Q]: sums of the pieces after a place's first, by E / 128 of where they begin
  V start;   ///< what a sum begins with: 0, or -0 to keep the sign of a single one
  std::int64_t entries;   ///< E
  std::int64_t count;     ///< N
  std::int64_t planes;    ///< O
  std::int64_t columns;   ///< Q
  std::int64_t targets;   ///< D
  Divisor batch;          ///< D
  Divisor width;          ///< C
  std::uint32_t outside;  ///< B D
  int column_blocks;      ///< blocks along y
};

/// Whether entries i and j, which need not be there, have the same place.
template <class V>
DM_DEVICE bool same_place(const SortedSlices<V>& p, std::int64_t i, std::int64_t j) {
  return i >= 0 && j < p.entries && p.places[i] == p.places[j];
}

/// The first entry whose place is at least `place` among those before `end`, which may be `end`.
template <class V>
DM_DEVICE std::int64_t first_from(const SortedSlices<V>& p, std::uint64_t place, std::int64_t end) {
  std::int64_t begin = 0;
  while (begin < end) {
    const std::int64_t middle = (begin + end) / 2;
    if (p.places[middle] < place) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// Where the piece of a place that began in an earlier window of 128 entries begins in this one; -1 where there is none. `start` becomes
/// the first entry of the place.
template <class V>
DM_DEVICE std::int64_t resumed_piece(const SortedSlices<V>& p, std::int64_t window,
                                     std::int64_t& start) {
  const std::int64_t first = window * kPiece;
  if (p.places[first] == p.outside || !same_place(p, first - 1, first)) return -1;
  start = first_from(p, p.places[first], first);
  const std::int64_t at = start + (first - start + kPiece - 1) / kPiece * kPiece;
  return same_place(p, first, at) ? at : -1;
}

/// Where a column of a place is.
template <class V>
struct Column {
  const V* x;  ///< plus source * width
  V* y;
};
template <class V>
DM_DEVICE Column<V> column_of(const SortedSlices<V>& p, std::uint32_t place, std::int64_t column) {
  const std::int64_t before =
      p.batch.quotient(place) * (p.planes - 1);  // planes of earlier batches, but one for each
  std::int64_t plane = column;
  const std::int64_t along = take_remainder(plane, p.width);
  return {p.x + (before + plane) * p.count * p.width.value + along,
          p.y + ((before + plane) * p.targets + place) * p.width.value + along};
}

/// sums += the columns of `count` entries from `at` on, one entry after another.
template <class V>
DM_DEVICE void add_entries(const SortedSlices<V>& p, std::int64_t at, int count,
                           const Column<V> (&columns)[kSortedColumns],
                           const bool (&inside)[kSortedColumns], V (&sums)[kSortedColumns]) {
  constexpr int kAhead = 4;
  for (int base = 0; base < count; base += kWarp) {
    const int lane = thread_index() % kWarp;
    const std::int32_t source = base + lane < count ? p.sources[at + base + lane] : 0;
    const int here = count - base < kWarp ? count - base : kWarp;
    for (int i = 0; i < here; i += kAhead) {
      V values[kAhead][kSortedColumns];
      DM_UNROLL
      for (int k = 0; k < kAhead; ++k) {
        const std::int64_t row = shuffle(source, i + k) * p.width.value;
        DM_UNROLL
        for (int j = 0; j < kSortedColumns; ++j) {
          values[k][j] = i + k < here && inside[j] ? columns[j].x[row] : V{0};
        }
      }
      DM_UNROLL
      for (int k = 0; k < kAhead; ++k) {
        if (i + k >= here) continue;
        DM_UNROLL
        for (int j = 0; j < kSortedColumns; ++j) sums[j] = static_cast<V>(sums[j] + values[k][j]);
      }
    }
  }
}

/// Where a warp's piece begins, -1 where it has none: the first `entries` warps have those that begin with their entry, the others one a window
/// that may go on in it.
template <class V>
DM_DEVICE std::int64_t own_piece(const SortedSlices<V>& p, std::int64_t unit) {
  if (unit < p.entries) {
    return p.places[unit] == p.outside || same_place(p, unit - 1, unit) ? -1 : unit;
  }
  std::int64_t start = 0;
  const std::int64_t window = unit - p.entries;
  return window * kPiece < p.entries ? resumed_piece(p, window, start) : -1;
}

/// The entries of the piece that begins at `at`.
template <class V>
DM_DEVICE int piece_length(const SortedSlices<V>& p, std::int64_t at) {
  int count = 0;
  for (int base = 0; base < kPiece && count == base; base += kWarp) {
    count += count_bits(ballot(same_place(p, at, at + base + thread_index() % kWarp)));
  }
  return count;
}

/// y of each place from its first piece, and parts of all others. One warp an entry, and after these one a window of 128 entries; one y block 128
/// columns, and then every column_blocks-th 128.
template <class V>
DM_KERNEL(kSortedWarps* kWarp, 2)
add_sorted(SortedSlices<V> p) {
  const std::int64_t unit =
      static_cast<std::int64_t>(block_index()) * kSortedWarps + thread_index() / kWarp;
  const std::int64_t at = own_piece(p, unit);
  if (at < 0) return;
  const int count = piece_length(p, at);
  const std::uint32_t place = p.places[at];
  for (std::int64_t first = std::int64_t{block_index_y()} * kSortedWidth; first < p.columns;
       first += std::int64_t{p.column_blocks} * kSortedWidth) {
    Column<V> columns[kSortedColumns];
    bool inside[kSortedColumns];
    V sums[kSortedColumns];
    const std::int64_t own = first + thread_index() % kWarp;
    DM_UNROLL
    for (int j = 0; j < kSortedColumns; ++j) {
      inside[j] = own + j * kWarp < p.columns;
      columns[j] = column_of(p, place, inside[j] ? own + j * kWarp : 0);
      sums[j] = p.start;
    }
    add_entries(p, at, count, columns, inside, sums);
    V* const part = p.parts + at / kPiece * p.columns + own;
    DM_UNROLL
    for (int j = 0; j < kSortedColumns; ++j) {
      if (inside[j]) *(unit < p.entries ? columns[j].y : part + j * kWarp) = sums[j];
    }
  }
}

/// y += the parts of a place that has any, each warp every eighth, and then the warps, in order. One block a window, for the place whose second
/// piece begins in it; one y block 32 columns, and then every column_blocks-th 32.
template <class V>
DM_KERNEL(kSortedWarps* kWarp, 4)
add_pieces(SortedSlices<V> p) {
  auto* const of_warps = reinterpret_cast<V*>(shared_memory());
  const std::int64_t window = block_index();
  std::int64_t start = 0;
  const std::int64_t at = resumed_piece(p, window, start);
  if (at < 0 || at - start != kPiece) return;
  const std::uint32_t place = p.places[at];
  const std::int64_t end = first_from(p, std::uint64_t{place} + 1, p.entries);
  const std::int64_t parts = (end - at + kPiece - 1) / kPiece;
  const int lane = thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  for (std::int64_t first = std::int64_t{block_index_y()} * kWarp; first < p.columns;
       first += std::int64_t{p.column_blocks} * kWarp) {
    const std::int64_t column = first + lane;
    V sum{0};
    if (column < p.columns) {
      for (std::int64_t i = warp; i < parts; i += kSortedWarps) {
        sum = static_cast<V>(sum + p.parts[(window + i) * p.columns + column]);
      }
    }
    block_sync();  // nobody reads the sums of the columns before
    of_warps[thread_index()] = sum;
    block_sync();
    if (warp > 0 || column >= p.columns) continue;
    V* const y = column_of(p, place, column).y;
    V total = *y;
    for (int w = 0; w < kSortedWarps; ++w)
      total = static_cast<V>(total + of_warps[w * kWarp + lane]);
    *y = total;
  }
}

/// y = the last slice of each place; what has none stays. One warp an entry, of one batch of one plane.
template <class V>
DM_KERNEL(kSortedWarps* kWarp, 4)
put_sorted(SortedSlices<V> p) {
  const std::int64_t at =
      static_cast<std::int64_t>(block_index()) * kSortedWarps + thread_index() / kWarp;
  if (at >= p.entries || p.places[at] == p.outside || same_place(p, at, at + 1)) return;
  const V* x = p.x + p.sources[at] * p.width.value;
  V* y = p.y + p.places[at] * p.width.value;
  for (std::int64_t c = thread_index() % kWarp; c < p.width.value; c += kWarp) y[c] = x[c];
}

}  // namespace dm::cuda
