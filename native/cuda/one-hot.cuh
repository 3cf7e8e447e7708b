// SPDX-License-Identifier: Apache-2.0
// One value at each index, another elsewhere.
//
// R rows, D depth.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// By fours only where D is a multiple of four.
template <class T>
struct OneHot {
  const std::int32_t* indices;  ///< [R]
  T* y;                         ///< [R, D]
  Divisor depth;                ///< D
  T on, off;

  DM_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t row = depth.quotient(i);
    y[i] = i - row * depth.value == indices[row] ? on : off;
  }
  DM_DEVICE void four(std::int64_t i) const {
    const std::int64_t row = depth.quotient(i);
    const std::int64_t at = indices[row] - (i - row * depth.value);
    FourOf<T> four;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] = at == k ? on : off;
    write_four(y + i, four);
  }
};

}  // namespace dm::cuda
