// SPDX-License-Identifier: Apache-2.0
// Exact (erf) GELU and its gradient (packages/core/src/ops/gelu.ts), an element at a time.
#pragma once

#include "cuda/core/elementwise.cuh"
#include "cuda/core/gelu.cuh"

namespace dm::cuda {

struct GeluValue {
  DM_DEVICE float operator()(float x) const { return gelu_value(x); }
};

/// dx = dy slope(x); all of one shape, dx may be the block of dy or x.
struct GeluGradient {
  const float* dy;
  const float* x;
  float* dx;

  DM_DEVICE void operator()(std::int64_t i) const { dx[i] = dy[i] * gelu_slope(x[i]); }
  DM_DEVICE void four(std::int64_t i) const {
    FourOf<float> d = read_four(dy + i);
    const FourOf<float> at = read_four(x + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) d.at[k] *= gelu_slope(at.at[k]);
    write_four(dx + i, d);
  }
};

}  // namespace dm::cuda
