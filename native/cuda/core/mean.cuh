// SPDX-License-Identifier: Apache-2.0
// The sum of a list divided by a number, in float64 and always in the same order: the last step of losses.
//
// N numbers.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kMeanThreads = 1024;

struct Mean {
  const float* x;  ///< [N]
  float* out;      ///< []
  std::int64_t count;
  double divisor;
};

/// One block; shared memory for a double a warp.
DM_KERNEL(kMeanThreads, 1)
mean_of(Mean p) {
  auto* const warps = reinterpret_cast<double*>(shared_memory());
  double sum = 0;
  for (std::int64_t i = thread_index(); i < p.count; i += kMeanThreads) {
    sum += static_cast<double>(p.x[i]);
  }
  sum = block_sum(sum, warps);
  if (thread_index() == 0) *p.out = static_cast<float>(sum / p.divisor);
}

constexpr std::size_t kMeanShared = kMeanThreads / kWarp * sizeof(double);

}  // namespace dm::cuda
