// SPDX-License-Identifier: Apache-2.0
// The exact (erf) GELU and its slope, by the arithmetic of cpu/simd/gelu.h: at most 2e-7 absolute from float64.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

/// e^x for -87 <= x <= 0, at most 1.1 ulp: x = k ln 2 + r, Taylor series of e^r - 1 to r^7.
DM_DEVICE float exp_of_negative(float x) {
  constexpr float kRound = 12582912.0f;     // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  constexpr float kLn2High = 0.693359375f;  // 355/512: k times it is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const float shifted = x * 1.44269504f + kRound;
  const float whole = shifted - kRound;
  const float r = (x - whole * kLn2High) - whole * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r;
  const std::uint32_t power = float_bits(shifted) - float_bits(kRound) + 127u;
  return (p + 1.0f) * float_of_bits(power << 23);
}

/// The normal distribution at x: what is below it, and its density.
struct NormalAt {
  float cdf, density;
};

/// The tail is e^(-x^2 / 2) k P(k) with k = 1 / (1 + 0.4 |x|), as in Abramowitz and Stegun 26.2.17; P fitted to 8e-8 absolute.
DM_DEVICE NormalAt normal_at(float x) {
  const float exponent = -0.5f * x * x;
  const float e = exponent < -87.0f ? 0.0f : exp_of_negative(exponent);
  const float k = 1.0f / (1.0f + 0.4f * fabsf(x));
  float q = 0x1.bb5830p-5f;
  q = q * k - 0x1.f79ec6p-3f;
  q = q * k + 0x1.4e11bcp-2f;
  q = q * k + 0x1.7f472ep-6f;
  q = q * k + 0x1.7aa53ap-3f;
  q = q * k + 0x1.421718p-3f;
  const float tail = e * (k * q);
  return {x > 0.0f ? 1.0f - tail : tail, 0.398942280f * e};
}

/// x times the normal distribution function of x.
DM_DEVICE float gelu_value(float x) { return x * normal_at(x).cdf; }

/// The slope of gelu_value: cdf(x) + x density(x).
DM_DEVICE float gelu_slope(float x) {
  const NormalAt normal = normal_at(x);
  return normal.cdf + x * normal.density;
}

}  // namespace dm::cuda
