// SPDX-License-Identifier: Apache-2.0
// Branch-free float32 logarithms and the error function, as math.h.
#pragma once

#include <cstdint>

#include "cpu/simd/math.h"

namespace dm::cpu {
namespace {

/// log(1 + f) + e ln 2 for sqrt(1/2) - 1 <= f < sqrt(2) - 1.
///
/// log(1 + f) = f - f^2 / 2 + f^3 P(f), P fitted to a relative error of 0.013 ulp.
[[maybe_unused]] inline float log_sum(float f, float e) {
  constexpr float kLn2High = 0.693359375f;  // 355/512: e times it is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const float s = f * f;
  float p = 0x1.147262p-4f;
  p = p * f - 0x1.de0114p-4f;
  p = p * f + 0x1.e6bfecp-4f;
  p = p * f - 0x1.fc28dap-4f;
  p = p * f + 0x1.233ba4p-3f;
  p = p * f - 0x1.555c44p-3f;
  p = p * f + 0x1.99a476p-3f;
  p = p * f - 0x1.000006p-2f;
  p = p * f + 0x1.555548p-2f;
  const float small = (f * s * p + e * kLn2Low) - 0.5f * s;
  return (f + small) + e * kLn2High;
}

/// x = 2^e m with sqrt(1/2) <= m < sqrt(2), for finite x from the least normal number on.
struct LogParts {
  std::int32_t e;
  float m;
};

[[maybe_unused]] inline LogParts log_parts(float x) {
  constexpr std::uint32_t kRootHalf = 0x3f3504f3;
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  const std::int32_t e = static_cast<std::int32_t>(bits - kRootHalf) >> 23;
  return {e, __builtin_bit_cast(float, bits - (static_cast<std::uint32_t>(e) << 23))};
}

/// The values of log at the ends: -infinity at 0, NaN below it; infinity and NaN stay.
[[maybe_unused]] inline float log_ends(float x, float y) {
  y = select(x < __builtin_inff(), y, x);
  y = select(x == 0.0f, -__builtin_inff(), y);
  return select(x < 0.0f, __builtin_nanf(""), y);
}

/// log x; at most 1 ulp, subnormal x included.
[[maybe_unused]] inline float log_float(float x) {
  const bool subnormal = x < 0x1p-126f;
  const auto [e, m] = log_parts(select(subnormal, x * 0x1p23f, x));
  return log_ends(x, log_sum(m - 1.0f, static_cast<float>(e) - select(subnormal, 23.0f, 0.0f)));
}

/// log(1 + x); at most 1.4 ulp, subnormal x and the sign of zero included.
[[maybe_unused]] inline float log1p_float(float x) {
  const float u = 1.0f + x;
  const float lost = select(x < 1.0f, x - (u - 1.0f), 1.0f - (u - x));  // u + lost = 1 + x
  const auto [e, m] = log_parts(u);
  const float scale = power_of_two(e < 64 ? -e : -64);  // beyond 2^64 nothing is lost that matters
  const float y = log_ends(u, log_sum((m - 1.0f) + lost * scale, static_cast<float>(e)));
  return select(x == 0.0f, x, y);
}

/// log(1 + e^x); at most 1.7 ulp.
[[maybe_unused]] inline float softplus_float(float x) {
  const float tail = log1p_float(exp_float(-__builtin_fabsf(x)));
  return select(x > 0.0f, x, 0.0f) + select(x == x, tail, x);
}

/// erf x; at most 1.3 ulp, odd to the bit.
///
/// Below 1 x + x P(x^2), from 1 on 1 - e^-(x Q(x)); P and Q fitted to relative errors of 0.024 and
/// 0.015 ulp of erf.
[[maybe_unused]] inline float erf_float(float x) {
  const float t = __builtin_fabsf(x);
  const float s = x * x;
  float p = 0x1.4771fep-14f;
  p = p * s - 0x1.a3515ep-11f;
  p = p * s + 0x1.53f224p-8f;
  p = p * s - 0x1.b7f71ap-6f;
  p = p * s + 0x1.ce2ce6p-4f;
  p = p * s - 0x1.81273ep-2f;
  p = p * s + 0x1.06eba8p-3f;
  const float near = t + t * p;
  const float c = select(t > 4.0f, 4.0f, t);  // 1 to the last bit from 3.92 on
  float q = 0x1.5df664p-17f;
  q = q * c - 0x1.4a1fc2p-12f;
  q = q * c + 0x1.d9342ep-9f;
  q = q * c - 0x1.8435b4p-6f;
  q = q * c + 0x1.b2d3bep-4f;
  q = q * c + 0x1.4538aep-1f;
  q = q * c + 0x1.20ee5cp+0f;
  const float far = 1.0f - exp_float(-c * q);
  return __builtin_copysignf(select(t < 1.0f, near, far), x);
}

}  // namespace
}  // namespace dm::cpu
