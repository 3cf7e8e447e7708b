// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and Box-Muller on top of it, bit for bit as in
// packages/core/src/philox.ts: integer operations and correctly rounded float32 +, -, *, / and sqrt only, so files that include this
// are compiled with -ffp-contract=off. Everything has internal linkage, so that row kernels may include it.
#pragma once

#include <cstdint>

namespace dm {
namespace {

constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9u;
constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67AE85u;

/// One round of the four words of a counter.
[[maybe_unused]] inline void philox_round(std::uint32_t& c0, std::uint32_t& c1, std::uint32_t& c2,
                                          std::uint32_t& c3, std::uint32_t k0, std::uint32_t k1) {
  const std::uint64_t product0 = static_cast<std::uint64_t>(kPhiloxMultiplier0) * c0;
  const std::uint64_t product1 = static_cast<std::uint64_t>(kPhiloxMultiplier1) * c2;
  c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ k0;
  c1 = static_cast<std::uint32_t>(product1);
  c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ k1;
  c3 = static_cast<std::uint32_t>(product0);
}

/// -2 ln(u) for u = ((word >> 8) + 1/2) 2^-24, by u = 2^e m with m in sqrt(1/2)..sqrt(2) and
/// ln((1 + z) / (1 - z)) / 2 = z + z^3/3 + z^5/5 + z^7/7 + z^9/9.
[[maybe_unused]] inline float minus_two_log(std::uint32_t word) {
  const float u = (static_cast<float>(static_cast<std::int32_t>(word >> 8)) + 0.5f) * 0x1p-24f;
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, u);
  const std::int32_t exponent = static_cast<std::int32_t>(bits >> 23) - 127;
  const float fraction = __builtin_bit_cast(float, (bits & 0x7fffffu) | 0x3f800000u);
  const bool halve = fraction > 1.41421354f;
  const float m = halve ? fraction * 0.5f : fraction;
  const std::int32_t e = halve ? exponent + 1 : exponent;
  const float z = (m - 1.0f) / (m + 1.0f);
  const float w = z * z;
  const float p7 = w * (w * 0.111111112f + 0.142857149f) + 0.2f;
  const float p3 = w * p7 + 0.333333343f;
  const float ln = 2.0f * (z + z * (w * p3));
  return -2.0f * (static_cast<float>(e) * 0.693147182f + ln);
}

struct NormalPair {
  float first, second;
};

/// Two standard normals of two words. The angle is 2 pi angle / 2^32: the nearest quarter turn, and what is left in -pi/4..pi/4.
[[maybe_unused]] inline NormalPair normal_pair(std::uint32_t word, std::uint32_t angle) {
  const float radius = __builtin_sqrtf(minus_two_log(word));
  const std::uint32_t quarter = (angle + 0x20000000u) >> 30;
  const auto rest = static_cast<std::int32_t>(angle - (quarter << 30));
  const float x = static_cast<float>(rest >> 6) * (6.283185482025146f * 0x1p-26f);
  const float w = x * x;
  const float sine =
      x + (x * w) * (-0.166666672f + w * (0.00833333377f + w * -0.000198412701f));
  const float cosine =
      1.0f + w * (-0.5f + w * (0.0416666679f + w * (-0.00138888892f + w * 2.48015876e-5f)));
  const bool swap = (quarter & 1) != 0;
  const float a = swap ? cosine : sine;
  const float b = swap ? sine : cosine;
  return {radius * (((quarter + 1) & 2) == 0 ? b : -b), radius * ((quarter & 2) == 0 ? a : -a)};
}

}  // namespace
}  // namespace dm
