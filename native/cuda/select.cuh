// SPDX-License-Identifier: Apache-2.0
// Elements of one tensor or another.
#pragma once

#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// out = condition == 1 ? yes : no, all of one shape.
template <class T>
struct Select {
  const std::uint8_t* condition;
  const T* yes;
  const T* no;
  T* out;

  DM_DEVICE void operator()(std::int64_t i) const { out[i] = condition[i] == 1 ? yes[i] : no[i]; }
  DM_DEVICE void four(std::int64_t i) const {
    const FourOf<std::uint8_t> which = read_four(condition + i);
    const FourOf<T> first = read_four(yes + i);
    FourOf<T> four = read_four(no + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] = which.at[k] == 1 ? first.at[k] : four.at[k];
    write_four(out + i, four);
  }
};

}  // namespace dm::cuda
