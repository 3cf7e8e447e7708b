// SPDX-License-Identifier: Apache-2.0
// Products of float32 by tiles, in real float32: 4 x 4 or 8 x 8 sums a thread, one slice of k ahead in registers. Every sum runs along k in
// order: the same bits each time.
//
// B batch, M x K times K x N, T tile; l and "by k" as in matmul-tile.cuh. A slice is [k, T].
#pragma once

#include "cuda/matmul-tile.cuh"

namespace dm::cuda {

constexpr int kFloatThreads = 256;
/// Along k.
template <int kTile>
constexpr int kFloatSlice = kTile == kLargeTile ? 8 : 16;

/// Bytes of shared memory: the sums, which are more than two slices [k, T + 4] of each operand.
constexpr std::size_t float_shared(int tile) {
  return static_cast<std::size_t>(tile * (tile + 4) * 4);
}

/// A slice on its way through registers: quads along the contiguous axis.
template <int kTile>
struct StagedQuads {
  static constexpr int kSlice = kFloatSlice<kTile>;
  static constexpr int kCount = kTile * kSlice / 4 / kFloatThreads;
  Quad quads[kCount];

  static DM_DEVICE void place(const MatmulOperand& x, int i, int& l, int& k) {
    const int index = i * kFloatThreads + thread_index();
    l = x.by_k ? index / (kSlice / 4) : index % (kTile / 4) * 4;
    k = x.by_k ? index % (kSlice / 4) * 4 : index / (kTile / 4);
  }

  /// From the slice that begins at element `first` of `data`.
  DM_DEVICE void fetch(const MatmulOperand& x, const void* data, std::int64_t first, int l_left,
                       int k_left) {
    const std::int64_t step = x.by_k ? x.l_step : x.k_step;
    DM_UNROLL
    for (int i = 0; i < kCount; ++i) {
      int l, k;
      place(x, i, l, k);
      const std::int64_t at = first + (x.by_k ? l * step + k : k * step + l);
      const bool any = l < l_left && k < k_left;
      quads[i] = any ? load_quad(data, x.bfloat16, at, x.by_k ? k_left - k : l_left - l, x.whole)
                     : Quad{};
    }
  }

  DM_DEVICE void store(const MatmulOperand& x, float* slice) const {
    DM_UNROLL
    for (int i = 0; i < kCount; ++i) {
      int l, k;
      place(x, i, l, k);
      float* const to = slice + k * kSumsStep<kTile> + l;
      if (x.by_k) {
        DM_UNROLL
        for (int e = 0; e < 4; ++e) to[e * kSumsStep<kTile>] = quads[i].at[e];
      } else {
        put_four(to, quads[i]);
      }
    }
  }
};

/// Thread t has rows 4 (t / 16) .. + 3 and columns 4 (t % 16) .. + 3, and the same 64 further on in a large tile.
template <int kTile>
DM_KERNEL(kFloatThreads, kTile == kLargeTile ? 1 : 2)
matmul_float(Matmul p) {
  constexpr int kStep = kSumsStep<kTile>;
  constexpr int kSlice = kFloatSlice<kTile>;
  constexpr int kGroups = kTile / 64;
  auto* const shared = reinterpret_cast<float*>(shared_memory());
  const MatmulPlace place = MatmulPlace::of_block<kTile>(p);
  const void* const a = p.a.batch(place.batch);
  const void* const b = p.b.batch(place.batch);
  const int row = thread_index() / 16 * 4;
  const int column = thread_index() % 16 * 4;
  StagedQuads<kTile> next_a, next_b;
  const int a_left = left_of(p.a.length, place.row, kTile);
  const int b_left = left_of(p.b.length, place.column, kTile);
  const auto fetch = [&](std::int64_t first) {
    const int k_left = left_of(place.k_end, first, kSlice);
    next_a.fetch(p.a, a, place.row * p.a.l_step + first * p.a.k_step, a_left, k_left);
    next_b.fetch(p.b, b, place.column * p.b.l_step + first * p.b.k_step, b_left, k_left);
  };
  float sums[kGroups][4][kGroups][4] = {};
  fetch(place.k_first);
  int buffer = 0;
  for (std::int64_t first = place.k_first; first < place.k_end; first += kSlice, buffer ^= 1) {
    float* const a_slice = shared + buffer * 2 * kSlice * kStep;
    float* const b_slice = a_slice + kSlice * kStep;
    next_a.store(p.a, a_slice);
    next_b.store(p.b, b_slice);
    block_sync();
    fetch(first + kSlice);
    DM_UNROLL
    for (int k = 0; k < kSlice; ++k) {
      Quad left[kGroups], right[kGroups];
      DM_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        left[g] = four_at(a_slice + k * kStep + row + g * 64);
        right[g] = four_at(b_slice + k * kStep + column + g * 64);
      }
      DM_UNROLL
      for (int i = 0; i < kGroups * 4; ++i) {
        DM_UNROLL
        for (int j = 0; j < kGroups * 4; ++j) {
          float& sum = sums[i / 4][i % 4][j / 4][j % 4];
          sum = fmaf(left[i / 4].at[i % 4], right[j / 4].at[j % 4], sum);
        }
      }
    }
  }
  block_sync();
  DM_UNROLL
  for (int i = 0; i < kGroups * 4; ++i) {
    DM_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      const float(&s)[4] = sums[i / 4][i % 4][g];
      put_four(shared + (row + i / 4 * 64 + i % 4) * kStep + column + g * 64,
                   {{s[0], s[1], s[2], s[3]}});
    }
  }
  block_sync();
  finish_tile<kTile>(p, place, shared);
}

}  // namespace dm::cuda
