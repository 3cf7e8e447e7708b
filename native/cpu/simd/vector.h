// SPDX-License-Identifier: Apache-2.0
// A register of float32 lanes of whichever instruction set the file is compiled for, for row kernels that the compiler does not
// vectorise by itself: sums along a row, transposes, tiles of a product. For this folder only.
#pragma once

#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace dm::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef std::uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * kLanes)));

using Bf16 = std::uint16_t;  ///< the upper half of a float32

[[maybe_unused]] inline Floats splat(float x) { return x - Floats{}; }

[[maybe_unused]] inline Floats load(const float* p) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

[[maybe_unused]] inline void store(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof(v)); }

/// a * b + c, fused where the instruction set can.
[[maybe_unused]] inline Floats fused(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

/// The larger of each lane; `b` where one is NaN.
[[maybe_unused]] inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }

// ---- bfloat16: to nearest, ties to even; NaN stays NaN ----------------------------------------------------------------------

[[maybe_unused]] inline float widen(Bf16 x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(x) << 16);
}

[[maybe_unused]] inline Bf16 narrow(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return static_cast<Bf16>((x == x ? rounded : bits | 0x400000u) >> 16);
}

[[maybe_unused]] inline Floats load(const Bf16* p) {
  Halves v;
  __builtin_memcpy(&v, p, sizeof(v));
  return __builtin_bit_cast(Floats, __builtin_convertvector(v, Words) << 16);
}

[[maybe_unused]] inline void store(Bf16* p, Floats v) {
  const Words bits = __builtin_bit_cast(Words, v);
  const Words rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Words kept = v == v ? rounded : bits | 0x400000u;
  const Halves halves = __builtin_convertvector(kept >> 16, Halves);
  __builtin_memcpy(p, &halves, sizeof(halves));
}

[[maybe_unused]] inline float load_one(const float* p) { return *p; }
[[maybe_unused]] inline float load_one(const Bf16* p) { return widen(*p); }
[[maybe_unused]] inline void store_one(float* p, float x) { *p = x; }
[[maybe_unused]] inline void store_one(Bf16* p, float x) { *p = narrow(x); }

// ---- across lanes, always in the same order ----------------------------------------------------------------------------------

[[maybe_unused]] inline float sum_of(Floats v) {
  float lanes[kLanes];
  __builtin_memcpy(lanes, &v, sizeof(v));
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

[[maybe_unused]] inline float largest_of(Floats v) {
  float lanes[kLanes];
  __builtin_memcpy(lanes, &v, sizeof(v));
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  }
  return lanes[0];
}

/// 2^x within 2 ulp for x <= 127; 2^-126 below -126; keeps NaN. Polynomial of Cephes (exp2f).
[[maybe_unused]] inline Floats exp2_of(Floats x) {
  const Floats round = splat(12582912.0f);  // 1.5 * 2^23
  x = x < splat(-126.0f) ? splat(-126.0f) : x;
  const Floats shifted = x + round;
  const Floats r = x - (shifted - round);
  Floats p = splat(1.535336188319500e-4f);
  p = fused(p, r, splat(1.339887440266574e-3f));
  p = fused(p, r, splat(9.618437357674640e-3f));
  p = fused(p, r, splat(5.550332471162809e-2f));
  p = fused(p, r, splat(2.402264791363012e-1f));
  p = fused(p, r, splat(6.931472028550421e-1f));
  p = fused(p, r, splat(1.0f));
  const Words power = (__builtin_bit_cast(Words, shifted) - 0x4b400000u + 127u) << 23;
  return p * __builtin_bit_cast(Floats, power);
}

// ---- kLanes x kLanes transpose -----------------------------------------------------------------------------------------------

template <int kDistance>
[[maybe_unused]] inline Ints exchange_mask(bool high) {
  Ints mask{};
  for (int i = 0; i < kLanes; ++i) {
    const bool own = (i & kDistance) == 0;
    // Lanes of the first register are 0.., of the second kLanes..
    mask[i] = high ? (own ? i + kDistance : i + kLanes) : (own ? i : i - kDistance + kLanes);
  }
  return mask;
}

template <int kDistance>
[[maybe_unused]] inline void exchange(Floats (&rows)[kLanes]) {
  const Ints low = exchange_mask<kDistance>(false);
  const Ints high = exchange_mask<kDistance>(true);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if ((i & kDistance) != 0) continue;
    const Floats a = rows[i];
    const Floats b = rows[i + kDistance];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + kDistance] = __builtin_shuffle(a, b, high);
  }
}

[[maybe_unused]] inline void transpose(Floats (&rows)[kLanes]) {
#if defined(__AVX512F__)
  exchange<8>(rows);
#endif
#if defined(__AVX2__)
  exchange<4>(rows);
#endif
  exchange<2>(rows);
  exchange<1>(rows);
}

}  // namespace
}  // namespace dm::cpu
