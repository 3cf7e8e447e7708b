// SPDX-License-Identifier: Apache-2.0
// The exact (erf) GELU, for the row kernels of this folder only.
#pragma once

#include "cpu/simd/math.h"

namespace dm::cpu {
namespace {

/// The normal distribution at x: what is below it, to about 2e-7 absolute, and its density.
struct NormalAt {
  float cdf, density;
};

/// The tail is e^(-x^2 / 2) k P(k) with k = 1 / (1 + 0.4 |x|), as in Abramowitz and Stegun 26.2.17; P fitted to 8e-8 absolute. One
/// exponential serves both.
[[maybe_unused]] inline NormalAt normal_at(float x) {
  const float exponent = -0.5f * x * x;
  const auto [power, p] = exp_parts(select(exponent < -87.0f, -87.0f, exponent));
  const float e = select(exponent < -87.0f, 0.0f, (p + 1.0f) * power_of_two(power));
  const float k = 1.0f / (1.0f + 0.4f * __builtin_fabsf(x));
  float q = 0x1.bb5830p-5f;
  q = q * k - 0x1.f79ec6p-3f;
  q = q * k + 0x1.4e11bcp-2f;
  q = q * k + 0x1.7f472ep-6f;
  q = q * k + 0x1.7aa53ap-3f;
  q = q * k + 0x1.421718p-3f;
  const float tail = e * (k * q);
  return {select(x > 0.0f, 1.0f - tail, tail), 0.398942280f * e};
}

/// x times the normal distribution function of x.
[[maybe_unused]] inline float gelu_float(float x) { return x * normal_at(x).cdf; }

/// The slope of `gelu_float`: cdf(x) + x density(x).
[[maybe_unused]] inline float gelu_slope(float x) {
  const NormalAt normal = normal_at(x);
  return normal.cdf + x * normal.density;
}

}  // namespace
}  // namespace dm::cpu
