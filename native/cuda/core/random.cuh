// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and Box-Muller on top of it, bit for bit as in
// core/philox.h and packages/core/src/philox.ts: integer operations and separately rounded float32 +, -, *, / and sqrt only.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

struct PhiloxWords {
  std::uint32_t at[4];
};

/// The four random words of a counter under a key.
DM_DEVICE PhiloxWords philox(PhiloxWords c, std::uint32_t k0, std::uint32_t k1) {
  DM_UNROLL
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = static_cast<std::uint64_t>(0xD2511F53u) * c.at[0];
    const std::uint64_t product1 = static_cast<std::uint64_t>(0xCD9E8D57u) * c.at[2];
    c = {{static_cast<std::uint32_t>(product1 >> 32) ^ c.at[1] ^ k0,
          static_cast<std::uint32_t>(product1),
          static_cast<std::uint32_t>(product0 >> 32) ^ c.at[3] ^ k1,
          static_cast<std::uint32_t>(product0)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// a b + c, rounded twice.
DM_DEVICE float multiply_add_rounded(float a, float b, float c) {
  return add_rounded(multiply_rounded(a, b), c);
}

/// -2 ln(u) for u = ((word >> 8) + 1/2) 2^-24, by u = 2^e m with m in sqrt(1/2)..sqrt(2) and
/// ln((1 + z) / (1 - z)) / 2 = z + z^3/3 + z^5/5 + z^7/7 + z^9/9.
DM_DEVICE float minus_two_log(std::uint32_t word) {
  const float whole = static_cast<float>(static_cast<std::int32_t>(word >> 8));
  const std::uint32_t bits = float_bits(multiply_rounded(add_rounded(whole, 0.5f), 0x1p-24f));
  const std::int32_t exponent = static_cast<std::int32_t>(bits >> 23) - 127;
  const float fraction = float_of_bits((bits & 0x7fffffu) | 0x3f800000u);
  const bool halve = fraction > 1.41421354f;
  const float m = halve ? multiply_rounded(fraction, 0.5f) : fraction;
  const float e = static_cast<float>(halve ? exponent + 1 : exponent);
  const float z = divide_rounded(subtract_rounded(m, 1.0f), add_rounded(m, 1.0f));
  const float w = multiply_rounded(z, z);
  const float p9 = multiply_add_rounded(w, 0.111111112f, 0.142857149f);
  const float p7 = multiply_add_rounded(w, p9, 0.2f);
  const float p3 = multiply_add_rounded(w, p7, 0.333333343f);
  const float series = add_rounded(z, multiply_rounded(z, multiply_rounded(w, p3)));
  const float ln = multiply_rounded(2.0f, series);
  return multiply_rounded(-2.0f, multiply_add_rounded(e, 0.693147182f, ln));
}

struct NormalPair {
  float first, second;
};

/// Two standard normals of two words. The angle is 2 pi angle / 2^32: the nearest quarter turn, and what is left in -pi/4..pi/4.
DM_DEVICE NormalPair normal_pair(std::uint32_t word, std::uint32_t angle) {
  const float radius = square_root_rounded(minus_two_log(word));
  const std::uint32_t quarter = (angle + 0x20000000u) >> 30;
  const auto rest = static_cast<std::int32_t>(angle - (quarter << 30));
  const float x =
      multiply_rounded(static_cast<float>(rest >> 6), 6.283185482025146f * 0x1p-26f);
  const float w = multiply_rounded(x, x);
  const float s5 = multiply_add_rounded(w, -0.000198412701f, 0.00833333377f);
  const float s3 = multiply_add_rounded(w, s5, -0.166666672f);
  const float sine = add_rounded(x, multiply_rounded(multiply_rounded(x, w), s3));
  const float c6 = multiply_add_rounded(w, 2.48015876e-5f, -0.00138888892f);
  const float c4 = multiply_add_rounded(w, c6, 0.0416666679f);
  const float c2 = multiply_add_rounded(w, c4, -0.5f);
  const float cosine = multiply_add_rounded(w, c2, 1.0f);
  const bool swap = (quarter & 1) != 0;
  const float a = swap ? cosine : sine;
  const float b = swap ? sine : cosine;
  return {multiply_rounded(radius, ((quarter + 1) & 2) == 0 ? b : -b),
          multiply_rounded(radius, (quarter & 2) == 0 ? a : -a)};
}

/// Normals 4 block .. 4 block + 3 of a key of four words: the generator's key, and the upper half of the counter.
DM_DEVICE FourOf<float> normals_of(const std::uint32_t (&key)[4], std::uint64_t block) {
  const PhiloxWords words = philox({{static_cast<std::uint32_t>(block),
                                     static_cast<std::uint32_t>(block >> 32), key[2], key[3]}},
                                   key[0], key[1]);
  const NormalPair low = normal_pair(words.at[0], words.at[1]);
  const NormalPair high = normal_pair(words.at[2], words.at[3]);
  return {{low.first, low.second, high.first, high.second}};
}

}  // namespace dm::cuda
