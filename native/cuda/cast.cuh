// SPDX-License-Identifier: Apache-2.0
// Conversions between dtypes, as tfjs's Cast defines them.
#pragma once

#include "cuda/core/elementwise.cuh"
#include "cuda/core/to-int32.cuh"

namespace dm::cuda {

/// To int32 towards zero, modulo 2^32, NaN and infinities to 0; to bool 1 unless 0; to float32 the nearest.
template <class R>
struct CastTo {
  template <class T>
  DM_DEVICE R operator()(T x) const {
    return static_cast<R>(x);
  }
};
template <>
struct CastTo<std::int32_t> {
  DM_DEVICE std::int32_t operator()(float x) const { return to_int32(static_cast<double>(x)); }
  DM_DEVICE std::int32_t operator()(std::uint8_t x) const { return x; }
};
template <>
struct CastTo<std::uint8_t> {
  template <class T>
  DM_DEVICE std::uint8_t operator()(T x) const {
    return x != T{0};
  }
};

}  // namespace dm::cuda
