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

/// Where a thread of a block adds up a quad of columns: block (i, j) has rows i rows_per_block .., columns 128 j ...
struct ColumnPlace {
  std::int64_t first_row, end_row;  ///< of its warp, every kSumWarps-th
  std::int64_t column;
  std::int64_t count;  ///< columns that there are from it on; may be negative

  DM_DEVICE ColumnPlace(std::int64_t rows, std::int64_t columns, std::int64_t rows_per_block)
      : first_row(block_index() * rows_per_block + thread_index() / kWarp),
        end_row(block_index() * rows_per_block + rows_per_block),
        column(static_cast<std::int64_t>(block_index_y()) * kSumColumns +
               thread_index() % kWarp * 4),
        count(columns - column) {
    if (end_row > rows) end_row = rows;
    if (count <= 0) end_row = first_row;
  }
};

constexpr std::size_t kSumColumnsShared = kSumWarps * kSumColumns * sizeof(float);

/// Adds the quads of a block's warps, in order, to its row of partials [P, C].
DM_DEVICE void write_column_sums(float* partials, std::int64_t columns, const Quad& sum) {
  auto* const shared = reinterpret_cast<float*>(shared_memory());
  put_four(shared + thread_index() * 4, sum);
  block_sync();
  const int i = thread_index();
  const std::int64_t out = static_cast<std::int64_t>(block_index_y()) * kSumColumns + i;
  if (i >= kSumColumns || out >= columns) return;
  float total = 0;
  for (int w = 0; w < kSumWarps; ++w) total += shared[w * kSumColumns + i];
  partials[block_index() * columns + out] = total;
}

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

DM_KERNEL(kSumWarps* kWarp, 4)
sum_columns(SumColumns p) {
  const ColumnPlace place(p.rows, p.columns, p.rows_per_block);
  Quad sum = {};
  for (std::int64_t row = place.first_row; row < place.end_row; row += kSumWarps) {
    const std::int64_t at = row * p.columns + place.column;
    Quad value = load_quad(p.x, p.x_bfloat16, at, place.count, p.whole);
    const float factor = p.factors == nullptr ? 1.0f : p.factors[row / p.rows_per_factor];
    DM_UNROLL
    for (int i = 0; i < 4; ++i) {
      value.at[i] *= factor;
      sum.at[i] += value.at[i];
    }
    if (p.y != nullptr) store_quad(p.y, p.y_bfloat16, at, place.count, p.whole, value);
  }
  write_column_sums(p.partials, p.columns, sum);
}

}  // namespace dm::cuda
