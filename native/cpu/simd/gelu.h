// SPDX-License-Identifier: Apache-2.0
// The exact (erf) GELU, for the row kernels of this folder only.
#pragma once

#include "cpu/simd/math-log.h"

namespace dm::cpu {
namespace {

/// The normal distribution function, to about 6e-8 absolute.
[[maybe_unused]] inline float normal_cdf(float x) {
  return 0.5f + 0.5f * erf_float(x * 0.707106781f);
}

/// x times the normal distribution function of x.
[[maybe_unused]] inline float gelu_float(float x) { return x * normal_cdf(x); }

/// The slope of `gelu_float`: cdf(x) + x density(x).
[[maybe_unused]] inline float gelu_slope(float x) {
  return normal_cdf(x) + x * (0.398942280f * exp_float(-0.5f * x * x));
}

}  // namespace
}  // namespace dm::cpu
