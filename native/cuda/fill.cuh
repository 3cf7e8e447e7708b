// SPDX-License-Identifier: Apache-2.0
// Tensors of one value, and of numbers at equal distances.
#pragma once

#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

template <class T>
struct FillAll {
  T* out;  ///< [count]
  T value;

  DM_DEVICE void operator()(std::int64_t i) const { out[i] = value; }
  DM_DEVICE void four(std::int64_t i) const {
    write_four(out + i, FourOf<T>{{value, value, value, value}});
  }
};

/// out[i] = start + i step, in float64 as JavaScript computes it, and from there rounded once.
template <class T>
struct FillSteps {
  T* out;  ///< [count]
  double start, step;

  DM_DEVICE T at(std::int64_t i) const {
    return static_cast<T>(add_rounded(start, multiply_rounded(static_cast<double>(i), step)));
  }
  DM_DEVICE void operator()(std::int64_t i) const { out[i] = at(i); }
  DM_DEVICE void four(std::int64_t i) const {
    FourOf<T> four;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] = at(i + k);
    write_four(out + i, four);
  }
};

}  // namespace dm::cuda
