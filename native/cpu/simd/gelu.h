// SPDX-License-Identifier: Apache-2.0
// erf and the exact GELU, for the row kernels of this folder only. The coefficients are
// least-maximum fits of our own (reweighted least squares in float64).
#pragma once

#include "cpu/simd/math.h"

namespace dm::cpu {
namespace {

/// erf(x); the fits are good to 1.3e-9 relative, so what remains is rounding: at most 2 ulp. Keeps
/// NaN.
///
/// |x| <= 1: x + x p(x^2). Above: 1 - e^q(|x|), where q fits log(erfc) on [1, 4]; erf(4) is 1 in
/// float32.
[[maybe_unused]] inline float erf_float(float x) {
  const float magnitude = __builtin_fabsf(x);
  const float s = x * x;
  float p = 7.85385782e-05f;
  p = p * s - 0.000801019254f;
  p = p * s + 0.00518832775f;
  p = p * s - 0.026853811f;
  p = p * s + 0.112835854f;
  p = p * s - 0.37612626f;
  p = p * s + 0.128379166f;
  const float small = x + x * p;
  const float t = select(magnitude > 4.0f, 4.0f, magnitude);
  float q = 0.000186380086f;
  q = q * t - 0.00294766668f;
  q = q * t + 0.0218380969f;
  q = q * t - 0.103106819f;
  q = q * t - 0.638144732f;
  q = q * t - 1.12708926f;
  q = q * t - 0.000341512583f;
  const float large = __builtin_copysignf(1.0f - exp_float(q), x);
  return select(magnitude > 1.0f, large, small);
}

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
