// SPDX-License-Identifier: Apache-2.0
// Copies in bfloat16 and sums of columns, four neighbours a thread. Sums: a block has 128 columns of some rows; its eight warps take every
// eighth row each, are added in order in shared memory, and the blocks by add_partials: the same bits each time.
//
// R rows, C columns, P blocks along the rows.
#pragma once

#include "cuda/core/quad.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kRoundThreads = 256;

struct RoundToBf16 {
  const float* x;  ///< [count]
  bf16* y;         ///< [count]
  std::int64_t count;
  bool whole;  ///< both are aligned
};

DM_KERNEL(kRoundThreads, 4)
round_elements(RoundToBf16 p) {
  const std::int64_t at =
      (static_cast<std::int64_t>(block_index()) * kRoundThreads + thread_index()) * 4;
  if (at >= p.count) return;
  store_quad(p.y, true, at, p.count - at, p.whole,
             load_quad(p.x, false, at, p.count - at, p.whole));
}

constexpr int kSumWarps = 8;
constexpr int kSumColumns = kWarp * 4;

struct SumColumns {
  const void* x;         ///< [R, C]
  const float* factors;  ///< [R / rows_per_factor], or null
  void* y;               ///< [R, C]: x times its factors; or null
  float* partials;       ///< [P, C]
  std::int64_t rows, columns;
  std::int64_t rows_per_factor;
  std::int64_t rows_per_block;
  bool x_bfloat16, y_bfloat16;
  bool whole;  ///< quads of x and y are aligned
};

constexpr std::size_t kSumColumnsShared = kSumWarps * kSumColumns * sizeof(float);

/// Block (i, j): rows i rows_per_block .., columns 128 j ...
DM_KERNEL(kSumWarps* kWarp, 4)
sum_columns(SumColumns p) {
  auto* const shared = reinterpret_cast<float*>(shared_memory());
  const int warp = thread_index() / kWarp;
  const int own = thread_index() % kWarp * 4;
  const std::int64_t column = static_cast<std::int64_t>(block_index_y()) * kSumColumns + own;
  const std::int64_t first = block_index() * p.rows_per_block;
  const std::int64_t end = first + p.rows_per_block < p.rows ? first + p.rows_per_block : p.rows;
  const std::int64_t count = p.columns - column;
  Quad sum = {};
  if (count > 0) {
    for (std::int64_t row = first + warp; row < end; row += kSumWarps) {
      const std::int64_t at = row * p.columns + column;
      Quad value = load_quad(p.x, p.x_bfloat16, at, count, p.whole);
      const float factor = p.factors == nullptr ? 1.0f : p.factors[row / p.rows_per_factor];
      DM_UNROLL
      for (int i = 0; i < 4; ++i) {
        value.at[i] *= factor;
        sum.at[i] += value.at[i];
      }
      if (p.y != nullptr) store_quad(p.y, p.y_bfloat16, at, count, p.whole, value);
    }
  }
  put_four(shared + warp * kSumColumns + own, sum);
  block_sync();
  const int i = thread_index();
  const std::int64_t out = static_cast<std::int64_t>(block_index_y()) * kSumColumns + i;
  if (i >= kSumColumns || out >= p.columns) return;
  float total = 0;
  for (int w = 0; w < kSumWarps; ++w) total += shared[w * kSumColumns + i];
  p.partials[block_index() * p.columns + out] = total;
}

}  // namespace dm::cuda
