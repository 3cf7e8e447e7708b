// SPDX-License-Identifier: Apache-2.0
// How tiles multiply. Operands are words of 32 bits along k: one float32, or two bfloat16 that follow each other, the first in the
// lower half. For this folder only.
#pragma once

#include "cpu/simd/vector.h"

namespace dm::cpu {
namespace {

/// sum + a times the words of b.
struct Float32Product {
  static constexpr std::int64_t kElements = 1;  ///< in a word
  static Floats add(float a, Floats b, Floats sum) { return fused(splat(a), b, sum); }
};

#if defined(__AVX512BF16__)
struct BFloat16Product {
  static constexpr std::int64_t kElements = 2;
  static Floats add(float a, Floats b, Floats sum) {
    const Words pair = __builtin_bit_cast(std::uint32_t, a) - Words{};
    return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, pair), __builtin_bit_cast(__m512bh, b));
  }
};
#endif

/// Words of two bfloat16 each.
[[maybe_unused]] inline Floats pair_up(Halves low, Halves high) {
  const Words words = __builtin_convertvector(low, Words) | __builtin_convertvector(high, Words) << 16;
  return __builtin_bit_cast(Floats, words);
}

}  // namespace
}  // namespace dm::cpu
