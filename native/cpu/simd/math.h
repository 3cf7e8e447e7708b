// SPDX-License-Identifier: Apache-2.0
// Branch-free float32 functions that the compiler vectorises, for the row kernels of this folder
// only. The same arithmetic on every instruction set, up to the fusing of a product and a sum.
// Errors are checked against float64 in tests/.
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

/// e^x; at most 0.9 ulp (tests/unary-test.cc). Overflows to infinity, underflows through the
/// subnormal numbers to 0, keeps NaN.
///
/// x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7 (truncation < 1e-8
/// relative); 2^k in two factors, so that k may leave the range of exponents.
[[maybe_unused]] inline float exp_float(float x) {
  constexpr float kRound =
      12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  constexpr float kLn2High = 0.693359375f;  // 355/512: k times it is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  x = select(x > 89.0f, 89.0f, x);
  x = select(x < -104.0f, -104.0f, x);
  const float shifted = x * 1.44269504f + kRound;
  const float whole = shifted - kRound;
  const std::int32_t k =
      __builtin_bit_cast(std::int32_t, shifted) - __builtin_bit_cast(std::int32_t, kRound);
  const float r = (x - whole * kLn2High) - whole * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * (r * r) + r;
  const std::int32_t half = k >> 1;
  return (p + 1.0f) * power_of_two(half) * power_of_two(k - half);
}

}  // namespace
}  // namespace dm::cpu
