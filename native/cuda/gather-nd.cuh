// SPDX-License-Identifier: Apache-2.0
// Places of slices by indices of several axes.
//
// N slices, R indices of each, P places.
#pragma once

#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

constexpr int kMostIndexAxes = 8;

/// The place of slice i: the sum of its indices times steps; -1 where that is not a place.
struct NdPlace {
  const std::int32_t* indices;  ///< [N, R]
  std::int64_t steps[kMostIndexAxes];
  int rank;             ///< R
  std::int64_t places;  ///< P

  DM_DEVICE std::int64_t operator()(std::int64_t i) const {
    std::int64_t place = 0;
    for (int j = 0; j < rank; ++j) place += indices[i * rank + j] * steps[j];
    return place < 0 || place >= places ? -1 : place;
  }
};

/// The place of slice i as a key to sort by; P where it is none.
struct NdKey {
  NdPlace place;

  DM_DEVICE std::uint32_t operator()(std::int64_t i) const {
    const std::int64_t at = place(i);
    return static_cast<std::uint32_t>(at < 0 ? place.places : at);
  }
};

/// All places, for kernels that compare them. Not by fours.
struct WritePlaces {
  NdPlace place;
  std::int64_t* out;  ///< [N]

  DM_DEVICE void operator()(std::int64_t i) const { out[i] = place(i); }
  DM_DEVICE void four(std::int64_t) const {}
};

}  // namespace dm::cuda
