// SPDX-License-Identifier: Apache-2.0
// Products of bfloat16 by tiles: a block computes a square tile of c, walking along k in steps of a slice. Slices go to tensor cores (mma.sync)
// by warps of 32 columns; while one is multiplied, three more are on their way (cp.async), so that no thread waits for memory. Where sizes are
// odd or an operand is float32, slices pass through registers instead, one ahead. Every sum runs along k in order: the same bits each time.
// Method: the tiling of CUTLASS ("Efficient GEMM in CUDA", NVIDIA), rows of shared memory exchanged by XOR against bank conflicts.
//
// B batch, M x K times K x N, T tile; l and "by k" as in matmul-tile.cuh. A slice is [T, k] by k, [k, T] otherwise.
#pragma once

#include "cuda/core/reduce.cuh"
#include "cuda/matmul-tile.cuh"

namespace dm::cuda {

constexpr int kMmaSlice = 32;   // along k
constexpr int kMmaStages = 4;
constexpr int kMmaColumns = 32;  // of a warp

template <int kTile>
constexpr int kMmaThreads = 2 * kTile;
/// Bytes of a slice of one operand.
template <int kTile>
constexpr int kSliceBytes = kTile* kMmaSlice * 2;
/// Bytes of shared memory: `stages` slices of both operands, or the sums.
constexpr std::size_t mma_shared(int tile, int stages) {
  const int slices = stages * 2 * tile * kMmaSlice * 2;
  const int sums = tile * (tile + 4) * 4;
  return static_cast<std::size_t>(slices > sums ? slices : sums);
}

/// Byte of 16-byte chunk `chunk` of row `row` in a slice: [T, 4 chunks of k] or [k, T / 8 chunks].
template <int kTile, bool kByK>
DM_DEVICE std::uint32_t slice_place(int row, int chunk) {
  if constexpr (kByK) return static_cast<std::uint32_t>(row * 64 + ((chunk ^ (row / 2 & 3)) << 4));
  return static_cast<std::uint32_t>(row * kTile * 2 + ((chunk ^ (row & 7)) << 4));
}

/// Starts the copies of a slice that begins at `slice`, `step` elements from row to row; what is past the ends becomes 0.
template <int kTile, bool kByK>
DM_DEVICE void copy_slice(std::uint32_t shared, const bf16* slice, int step, int l_left, int k_left) {
  constexpr int kChunks = kByK ? kMmaSlice / 8 : kTile / 8;
  DM_UNROLL
  for (int i = 0; i < kTile * kMmaSlice / 8 / kMmaThreads<kTile>; ++i) {
    const int index = i * kMmaThreads<kTile> + thread_index();
    const int row = index / kChunks;
    const int chunk = index % kChunks;
    const bool valid = (kByK ? row : chunk * 8) < l_left && (kByK ? chunk * 8 : row) < k_left;
    async_copy16(shared + slice_place<kTile, kByK>(row, chunk),
                 slice + (valid ? row * step + chunk * 8 : 0), valid);
  }
}

/// Sums of a warp: [kWarpRows, 32] of the tile, as 16 x 8 tiles.
template <int kTile>
struct WarpSums {
  static constexpr int kRows = kTile / 2;  ///< two warps cover the tile's rows
  float c[kRows / 16][kMmaColumns / 8][4];

  static DM_DEVICE int first_row() { return thread_index() / kWarp / (kTile / kMmaColumns) * kRows; }
  static DM_DEVICE int first_column() {
    return thread_index() / kWarp % (kTile / kMmaColumns) * kMmaColumns;
  }

  /// Adds the product of two slices in shared memory.
  template <bool kAByK, bool kBByK>
  DM_DEVICE void add(std::uint32_t a_slice, std::uint32_t b_slice) {
    const int lane = thread_index() % kWarp;
    DM_UNROLL
    for (int k = 0; k < kMmaSlice; k += 16) {
      std::uint32_t a[kRows / 16][4];
      DM_UNROLL
      for (int i = 0; i < kRows / 16; ++i) {
        const int row = first_row() + i * 16;
        if constexpr (kAByK) {
          load_matrix(a[i], a_slice + slice_place<kTile, true>(row + lane % 16, k / 8 + lane / 16));
        } else {
          load_matrix_transposed(a[i], a_slice + slice_place<kTile, false>(
                                                     k + lane % 8 + lane / 16 * 8,
                                                     row / 8 + lane / 8 % 2));
        }
      }
      DM_UNROLL
      for (int j = 0; j < kMmaColumns / 8; j += 2) {
        const int column = first_column() + j * 8;
        std::uint32_t b[4];
        if constexpr (kBByK) {
          load_matrix(b, b_slice + slice_place<kTile, true>(column + lane % 8 + lane / 16 * 8,
                                                            k / 8 + lane / 8 % 2));
        } else {
          load_matrix_transposed(
              b, b_slice + slice_place<kTile, false>(k + lane % 16, column / 8 + lane / 16));
        }
        DM_UNROLL
        for (int i = 0; i < kRows / 16; ++i) {
          mma_m16n8k16(c[i][j], a[i], b[0], b[1]);
          mma_m16n8k16(c[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

  /// Writes them to their place in the tile of sums.
  DM_DEVICE void store(float* sums) const {
    const int lane = thread_index() % kWarp;
    DM_UNROLL
    for (int i = 0; i < kRows / 16; ++i) {
      DM_UNROLL
      for (int j = 0; j < kMmaColumns / 8; ++j) {
        DM_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int row = first_row() + i * 16 + lane / 4 + half * 8;
          float* const to = sums + row * kSumsStep<kTile> + first_column() + j * 8 + lane % 4 * 2;
          to[0] = c[i][j][half * 2];
          to[1] = c[i][j][half * 2 + 1];
        }
      }
    }
  }
};

/// Both operands bfloat16, their contiguous axes multiples of 8 and 16-byte aligned.
template <int kTile, bool kAByK, bool kBByK>
DM_KERNEL((kMmaThreads<kTile>), kTile == kLargeTile ? 2 : 4)
matmul_bf16(Matmul p) {
  constexpr int kBytes = kSliceBytes<kTile>;
  const std::uint32_t shared = shared_address(shared_memory());
  const MatmulPlace place = MatmulPlace::of_block<kTile>(p);
  const auto* const a = static_cast<const bf16*>(p.a.batch(place.batch));
  const auto* const b = static_cast<const bf16*>(p.b.batch(place.batch));
  const auto* const a_tile = a + place.row * p.a.l_step;
  const auto* const b_tile = b + place.column * p.b.l_step;
  const int a_step = static_cast<int>(kAByK ? p.a.l_step : p.a.k_step);
  const int b_step = static_cast<int>(kBByK ? p.b.l_step : p.b.k_step);
  const int a_left = left_of(p.a.length, place.row, kTile);
  const int b_left = left_of(p.b.length, place.column, kTile);
  const int steps = static_cast<int>((place.k_end - place.k_first + kMmaSlice - 1) / kMmaSlice);
  const auto copy = [&](int step) {
    if (step < steps) {
      const std::uint32_t stage = shared + static_cast<std::uint32_t>(step % kMmaStages * 2 * kBytes);
      const std::int64_t first = place.k_first + static_cast<std::int64_t>(step) * kMmaSlice;
      const int k_left = left_of(place.k_end, first, kMmaSlice);
      copy_slice<kTile, kAByK>(stage, a_tile + first * p.a.k_step, a_step, a_left, k_left);
      copy_slice<kTile, kBByK>(stage + kBytes, b_tile + first * p.b.k_step, b_step, b_left, k_left);
    }
    async_commit();
  };
  for (int step = 0; step < kMmaStages - 1; ++step) copy(step);
  WarpSums<kTile> sums = {};
  for (int step = 0; step < steps; ++step) {
    async_wait<kMmaStages - 2>();
    // Now this slice is there for all, and all are done with the one before, whose place the next copy takes.
    block_sync();
    copy(step + kMmaStages - 1);
    const std::uint32_t stage = shared + static_cast<std::uint32_t>(step % kMmaStages * 2 * kBytes);
    sums.template add<kAByK, kBByK>(stage, stage + kBytes);
  }
  async_wait<0>();
  block_sync();
  auto* const tile = reinterpret_cast<float*>(shared_memory());
  sums.store(tile);
  block_sync();
  finish_tile<kTile>(p, place, tile);
}

/// A slice on its way through registers: pairs along k, converted to bfloat16.
template <int kTile>
struct StagedPairs {
  static constexpr int kPairs = kMmaSlice / 2;
  static constexpr int kCount = kTile * kPairs / kMmaThreads<kTile>;
  std::uint32_t words[kCount];

  /// Neighbouring threads read neighbours in memory.
  static DM_DEVICE void place(const MatmulOperand& x, int i, int& l, int& pair) {
    const int index = i * kMmaThreads<kTile> + thread_index();
    l = x.by_k ? index / kPairs : index % kTile;
    pair = x.by_k ? index % kPairs : index / kTile;
  }

  DM_DEVICE void fetch(const MatmulOperand& x, const void* data, std::int64_t first_l,
                       std::int64_t first_k, std::int64_t k_count) {
    DM_UNROLL
    for (int i = 0; i < kCount; ++i) {
      int l, pair;
      place(x, i, l, pair);
      float values[2] = {};
      DM_UNROLL
      for (int e = 0; e < 2; ++e) {
        const std::int64_t k = first_k + pair * 2 + e;
        if (first_l + l < x.length && k < k_count) {
          values[e] = load_one(data, x.bfloat16, (first_l + l) * x.l_step + k * x.k_step);
        }
      }
      words[i] = pack_bf16(values[0], values[1]);
    }
  }

  DM_DEVICE void store(const MatmulOperand& x, unsigned char* slice) const {
    DM_UNROLL
    for (int i = 0; i < kCount; ++i) {
      int l, pair;
      place(x, i, l, pair);
      unsigned char* const to = slice + slice_place<kTile, true>(l, pair / 4) + pair % 4 * 4;
      *reinterpret_cast<std::uint32_t*>(to) = words[i];
    }
  }
};

/// Operands of any type, size and alignment, multiplied as bfloat16.
DM_KERNEL(kMmaThreads<kSmallTile>, 2)
matmul_bf16_any(Matmul p) {
  constexpr int kTile = kSmallTile;
  constexpr int kBytes = kSliceBytes<kTile>;
  unsigned char* const shared = shared_memory();
  const MatmulPlace place = MatmulPlace::of_block<kTile>(p);
  const void* const a = p.a.batch(place.batch);
  const void* const b = p.b.batch(place.batch);
  StagedPairs<kTile> next_a, next_b;
  const auto fetch = [&](std::int64_t first) {
    next_a.fetch(p.a, a, place.row, first, place.k_end);
    next_b.fetch(p.b, b, place.column, first, place.k_end);
  };
  WarpSums<kTile> sums = {};
  fetch(place.k_first);
  int buffer = 0;
  for (std::int64_t first = place.k_first; first < place.k_end; first += kMmaSlice, buffer ^= 1) {
    unsigned char* const stage = shared + buffer * 2 * kBytes;
    next_a.store(p.a, stage);
    next_b.store(p.b, stage + kBytes);
    block_sync();
    // The other buffer is free again: who writes there next has passed the barrier after its last use.
    fetch(first + kMmaSlice);
    const std::uint32_t address = shared_address(stage);
    sums.template add<true, true>(address, address + kBytes);
  }
  block_sync();
  auto* const tile = reinterpret_cast<float*>(shared);
  sums.store(tile);
  block_sync();
  finish_tile<kTile>(p, place, tile);
}

}  // namespace dm::cuda
