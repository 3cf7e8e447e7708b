// SPDX-License-Identifier: Apache-2.0
// Each sample times its factor (packages/core/src/ops/drop-path.ts).
//
// B batch, N elements of a sample.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// y = factor x. By fours only where N is a multiple of four.
struct DropPath {
  const float* x;       ///< [B, N]
  const float* factor;  ///< [B]
  float* y;             ///< [B, N]
  Divisor count;        ///< N

  DM_DEVICE void operator()(std::int64_t i) const { y[i] = x[i] * factor[count.quotient(i)]; }
  DM_DEVICE void four(std::int64_t i) const {
    const float scale = factor[count.quotient(i)];
    FourOf<float> four = read_four(x + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] *= scale;
    write_four(y + i, four);
  }
};

}  // namespace dm::cuda
