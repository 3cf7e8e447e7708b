// SPDX-License-Identifier: Apache-2.0
// Branch-free functions of float32 that need the range of float64 on the way: powers, sines and
// cosines. Results are rounded once more to float32, so they are within 0.53 ulp.
#pragma once

#include <cstdint>

#include "cpu/simd/math.h"

namespace dm::cpu {
namespace {

constexpr double kRoundWide =
    6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, kept in the low bits

[[maybe_unused]] inline double select_wide(bool condition, double yes, double no) {
  return condition ? yes : no;
}

/// log2 |x|: relative error < 1e-12; -infinity at 0; infinity and NaN stay.
///
/// |x| = 2^e m, log2 m = (2 / ln 2) atanh((m - 1) / (m + 1)) by its series.
[[maybe_unused]] inline double log2_wide(double x) {
  constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
  constexpr std::uint64_t kBias = 1024;  // keeps the exponent positive
  const double t = __builtin_fabs(x);
  const auto bits = __builtin_bit_cast(std::uint64_t, t);
  const std::uint64_t exponent = (bits - kRootHalf + (kBias << 52)) >> 52;
  // To a double through the low bits of 2^52, since AVX2 cannot convert 64-bit integers.
  const double e = __builtin_bit_cast(double, exponent | 0x4330000000000000) - (0x1p52 + kBias);
  const double m = __builtin_bit_cast(double, bits - (exponent << 52) + (kBias << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double p = 1.0 / 15;
  p = p * s2 + 1.0 / 13;
  p = p * s2 + 1.0 / 11;
  p = p * s2 + 1.0 / 9;
  p = p * s2 + 1.0 / 7;
  p = p * s2 + 1.0 / 5;
  p = p * s2 + 1.0 / 3;
  p = p * s2 + 1.0;
  double y = e + 2.8853900817779268 * (s * p);  // 2 / ln 2
  y = select_wide(t < __builtin_inf(), y, t);
  return select_wide(t == 0.0, -__builtin_inf(), y);
}

/// 2^x: relative error < 1e-11, 0 below 2^-300, infinite above 2^300; keeps NaN.
[[maybe_unused]] inline double exp2_wide(double x) {
  double t = select_wide(x > 300.0, 300.0, x);
  t = select_wide(t < -300.0, -300.0, t);
  const double shifted = t + kRoundWide;
  const double r = (t - (shifted - kRoundWide)) * 0.693147180559945309;
  double p = 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  const std::int64_t k =
      __builtin_bit_cast(std::int64_t, shifted) - __builtin_bit_cast(std::int64_t, kRoundWide);
  return p * __builtin_bit_cast(double, (k + 1023) << 52);
}

/// a^b as JavaScript's Math.pow: NaN where b is, and where |a| is 1 and b infinite.
[[maybe_unused]] inline float pow_float(float a, float b) {
  const double base = static_cast<double>(a);
  const double exponent = static_cast<double>(b);
  double y = exp2_wide(exponent * log2_wide(base));
  // From 2^30 on every float32 is an even integer.
  const double whole = select_wide(__builtin_fabs(exponent) < 0x1p30, exponent, 0.0);
  const double shifted = whole + kRoundWide;
  // Of a negative base, -0 too, odd powers are negative, and those between integers are not defined
  // unless it is -0 or -infinity.
  const bool odd = (__builtin_bit_cast(std::int64_t, shifted) & 1) != 0;
  const double defined = select_wide(base > -__builtin_inf(), __builtin_nan(""), y);
  const double between = select_wide(base < 0.0, defined, y);
  const double of_negative =
      select_wide(shifted - kRoundWide == whole, select_wide(odd, -y, y), between);
  y = select_wide(__builtin_copysign(1.0, base) < 0.0, of_negative, y);
  y = select_wide(base == base, y, base);
  return static_cast<float>(select_wide(exponent == 0.0, 1.0, y));
}

/// Beyond it sines and cosines are left to the C library, which keeps more digits of pi.
constexpr float kLargestAngle = 0x1p28f;

/// sin(x + turns pi / 2) for |x| <= kLargestAngle; NaN for NaN.
///
/// x = n pi / 2 + r with |r| <= pi / 4, n times the high part of pi / 2 exact; then Taylor series
/// of sine and cosine.
[[maybe_unused]] inline float sin_quarter(float x, std::int64_t turns) {
  constexpr double kHalfPiHigh = 0x1.921fb5p+0;  // 25 bits
  constexpr double kHalfPiLow = 0x1.110b4611a6263p-26;
  const double t = static_cast<double>(x);
  const double shifted = t * 0.6366197723675814 + kRoundWide;
  const double n = shifted - kRoundWide;
  const double r = (t - n * kHalfPiHigh) - n * kHalfPiLow;
  const std::int64_t quarter = __builtin_bit_cast(std::int64_t, shifted) + turns;
  const double s = r * r;
  double sine = 1.0 / 362880;
  sine = sine * s - 1.0 / 5040;
  sine = sine * s + 1.0 / 120;
  sine = sine * s - 1.0 / 6;
  sine = r * (1.0 + s * sine);
  double cosine = -1.0 / 3628800;
  cosine = cosine * s + 1.0 / 40320;
  cosine = cosine * s - 1.0 / 720;
  cosine = cosine * s + 1.0 / 24;
  cosine = 1.0 + s * (cosine * s - 0.5);
  const double y = select_wide((quarter & 1) != 0, cosine, sine);
  return static_cast<float>(select_wide((quarter & 2) != 0, -y, y));
}

}  // namespace
}  // namespace dm::cpu
