// SPDX-License-Identifier: Apache-2.0
// bfloat16: the upper half of a float32, rounded to nearest even; a NaN stays one. The same on both sides and as in cpu/.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/both.h"

namespace dm::cuda {

struct bf16 {
  std::uint16_t bits;
};

DM_BOTH std::uint32_t float_bits(float value) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(value);
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

DM_BOTH float float_of_bits(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

DM_BOTH float to_float(bf16 value) {
  return float_of_bits(static_cast<std::uint32_t>(value.bits) << 16);
}
DM_BOTH float to_float(float value) { return value; }

DM_BOTH bf16 to_bf16(float value) {
  std::uint32_t bits = float_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  }
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<std::uint16_t>(bits >> 16)};
}

/// Two neighbours in one word, the first in the low half.
DM_BOTH std::uint32_t pack_bf16(float low, float high) {
#ifdef __CUDA_ARCH__
  std::uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return static_cast<std::uint32_t>(to_bf16(low).bits) |
         (static_cast<std::uint32_t>(to_bf16(high).bits) << 16);
#endif
}
DM_BOTH float low_bf16(std::uint32_t packed) { return float_of_bits(packed << 16); }
DM_BOTH float high_bf16(std::uint32_t packed) { return float_of_bits(packed & 0xffff0000u); }

}  // namespace dm::cuda
