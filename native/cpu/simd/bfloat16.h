// SPDX-License-Identifier: Apache-2.0
// bfloat16 as bits, for the row kernels of this folder only. Integer arithmetic on every
// instruction set: the processor's own conversion flushes subnormal numbers, and results are not to
// depend on the processor.
#pragma once

#include <cstdint>

namespace dm::cpu {
namespace {

[[maybe_unused]] inline float from_bits(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

/// To nearest, ties to even; NaN stays NaN.
[[maybe_unused]] inline std::uint16_t to_bits(float value) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const std::uint32_t result = (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : rounded;
  return static_cast<std::uint16_t>(result >> 16);
}

}  // namespace
}  // namespace dm::cpu
