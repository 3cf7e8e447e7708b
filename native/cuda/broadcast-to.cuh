// SPDX-License-Identifier: Apache-2.0
// A tensor repeated to a larger shape, and divided: the gradient of sums and means.
#pragma once

#include "cuda/core/broadcast-steps.cuh"

namespace dm::cuda {

/// y = x / divisor. By fours only where four are of one row.
struct BroadcastTo {
  const float* x;
  float* y;
  BroadcastSteps steps;  ///< of x as `a`
  float divisor;

  DM_DEVICE void operator()(std::int64_t i) const { y[i] = x[steps.offsets(i).a] / divisor; }
  DM_DEVICE void four(std::int64_t i) const {
    FourOf<float> four = read_broadcast_four(x, steps.offsets(i).a, steps.a_row);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] /= divisor;
    write_four(y + i, four);
  }
};

}  // namespace dm::cuda
