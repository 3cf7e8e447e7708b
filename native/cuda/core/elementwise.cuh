// SPDX-License-Identifier: Apache-2.0
// Kernels whose elements have nothing to do with each other. A body says what to do for element i, `body(i)`, and for the four from i on,
// `body.four(i)`, where all its tensors are aligned to four elements.
#pragma once

#include <cstdint>

#include "cuda/core/simt.cuh"

namespace dm::cuda {

constexpr int kElementwiseThreads = 256;

/// What is done four at a time, and what one at a time after it.
struct Elements {
  std::int64_t fours;
  std::int64_t count;
};

template <class Body>
DM_KERNEL(kElementwiseThreads, 4)
elementwise(Body body, Elements n) {
  const std::int64_t first =
      static_cast<std::int64_t>(block_index()) * kElementwiseThreads + thread_index();
  const std::int64_t step = static_cast<std::int64_t>(block_count()) * kElementwiseThreads;
  for (std::int64_t i = first; i < n.fours; i += step) body.four(4 * i);
  for (std::int64_t i = 4 * n.fours + first; i < n.count; i += step) body(i);
}

/// y[i] = F(x[i]): x and y of `count` elements, which may be one block.
template <class F, class T, class R>
struct Map {
  const T* x;
  R* y;
  F function;

  DM_DEVICE void operator()(std::int64_t i) const { y[i] = function(x[i]); }
  DM_DEVICE void four(std::int64_t i) const {
    const FourOf<T> from = read_four(x + i);
    FourOf<R> to;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) to.at[k] = function(from.at[k]);
    write_four(y + i, to);
  }
};

}  // namespace dm::cuda
