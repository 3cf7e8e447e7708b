// SPDX-License-Identifier: Apache-2.0
// The epilogue of a product that is there, with the sums of its columns: one pass. Blocks and sums as in branch-rows.cuh.
//
// M x N product, P blocks along the rows.
#pragma once

#include "cuda/branch-rows.cuh"
#include "cuda/matmul-tile.cuh"

namespace dm::cuda {

struct FinishColumns {
  MatmulFinish finish;  ///< of one matrix, c dense
  const void* product;  ///< [M, N], dense; may be c
  float* partials;      ///< [P, N]: sums of what c is before it is rounded
  std::int64_t rows_per_block;
  bool product_bfloat16;
};

DM_KERNEL(kSumWarps* kWarp, 3)
finish_columns(FinishColumns p) {
  const MatmulFinish& f = p.finish;
  const ColumnPlace place(f.m, f.n, p.rows_per_block);
  Quad sum = {};
  for (std::int64_t row = place.first_row; row < place.end_row; row += kSumWarps) {
    const Quad product = load_quad(p.product, p.product_bfloat16, row * f.n + place.column,
                                   place.count, f.whole);
    const Quad value = finish_quad(f, 0, row, place.column, product);
    DM_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i < place.count) sum.at[i] += value.at[i];
    }
  }
  write_column_sums(p.partials, f.n, sum);
}

}  // namespace dm::cuda
