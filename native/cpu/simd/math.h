// SPDX-License-Identifier: Apache-2.0
// Branch-free float32 functions that the compiler vectorises, for the row kernels of this folder
// only: exponentials. The same arithmetic on every instruction set, up to the fusing of a product
// and a sum. Maximum errors are over all finite float32, against float64, on every instruction set
// (native/tests/math-test.cc samples them).
#pragma once

#include <cstdint>

namespace dm::cpu {
namespace {

[[maybe_unused]] inline float select(bool condition, float yes, float no) {
  return condition ? yes : no;
}

/// 2^k for -126 <= k <= 127.
[[maybe_unused]] inline float power_of_two(std::int32_t k) {
  return __builtin_bit_cast(float, (k + 127) << 23);
}

/// e^x = 2^k (1 + p).
struct ExpParts {
  std::int32_t k;
  float p;
};

/// Of -104 <= x <= 89; a NaN stays in p.
///
/// x = k ln 2 + r with |r| <= ln 2 / 2; p = e^r - 1 by its Taylor series to r^7 (truncation < 1e-8
/// relative).
[[maybe_unused]] inline ExpParts exp_parts(float x) {
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
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
  return {__builtin_bit_cast(std::int32_t, shifted) - __builtin_bit_cast(std::int32_t, kRound), p};
}

/// e^x; at most 1.1 ulp. Overflows to infinity, underflows through the subnormal numbers to 0,
/// keeps NaN.
[[maybe_unused]] inline float exp_float(float x) {
  x = select(x > 89.0f, 89.0f, x);
  x = select(x < -104.0f, -104.0f, x);
  const auto [k, p] = exp_parts(x);
  const std::int32_t half = k >> 1;  // two factors, since k may leave the range of exponents
  return (p + 1.0f) * power_of_two(half) * power_of_two(k - half);
}

/// e^x - 1; at most 1.9 ulp, subnormal numbers and the sign of zero included.
[[maybe_unused]] inline float expm1_float(float x) {
  float t = select(x > 89.0f, 89.0f, x);
  t = select(t < -18.0f, -18.0f, t);  // -1 to the last bit
  const auto [k, p] = exp_parts(t);
  const float half = power_of_two(k - 1);  // k may be 128
  const float y = 2.0f * (half * p + (half - 0.5f));
  return select(x == 0.0f, x, y);
}

/// 1 / (1 + e^-x); at most 2.4 ulp, also where it is subnormal.
[[maybe_unused]] inline float sigmoid_float(float x) {
  const float e = exp_float(-__builtin_fabsf(x));
  return select(x < 0.0f, e, 1.0f) / (1.0f + e);
}

/// tanh x; at most 1.4 ulp, odd to the bit.
///
/// Up to 0.625 x + x^3 P(x^2), P fitted to a relative error of 0.08 ulp; beyond it 1 - 2 / (e^2x +
/// 1).
[[maybe_unused]] inline float tanh_float(float x) {
  const float t = __builtin_fabsf(x);
  const float s = x * x;
  float p = -0x1.750ce2p-8f;
  p = p * s + 0x1.51f8cep-6f;
  p = p * s - 0x1.b835a4p-5f;
  p = p * s + 0x1.1106f6p-3f;
  p = p * s - 0x1.555532p-2f;
  const float near = t + t * (s * p);
  const float far = 1.0f - 2.0f / (exp_float(t + t) + 1.0f);
  return __builtin_copysignf(select(t < 0.625f, near, far), x);
}

}  // namespace
}  // namespace dm::cpu
