// SPDX-License-Identifier: Apache-2.0
// Quotients by numbers that a launch knows: a product and a shift where the dividend is below 2^31, a division beyond (Granlund and
// Montgomery, "Division by invariant integers using multiplication", PLDI 1994).
#pragma once

#include <cstdint>

#include "cuda/core/bf16.cuh"

namespace dm::cuda {

struct Divisor {
  std::int64_t value = 1;
  std::uint32_t magic = 1;
  int shift = 0;

  Divisor() = default;
  /// `divisor` >= 1.
  explicit Divisor(std::int64_t divisor) : value(divisor) {
    constexpr std::int64_t kLimit = std::int64_t{1} << 31;
    if (divisor >= kLimit) {  // of a dividend below 2^31: 0
      magic = 0;
      shift = 31;
      return;
    }
    while ((std::int64_t{1} << shift) < divisor) ++shift;
    const std::uint64_t excess = static_cast<std::uint64_t>((std::int64_t{1} << shift) - divisor);
    magic = static_cast<std::uint32_t>((excess << 32) / static_cast<std::uint64_t>(divisor) + 1);
  }

  /// dividend / value, of a dividend >= 0.
  DM_BOTH std::int64_t quotient(std::int64_t dividend) const {
    if ((dividend >> 31) != 0) return dividend / value;
    const auto n = static_cast<std::uint32_t>(dividend);
    const auto high =
        static_cast<std::uint32_t>((static_cast<std::uint64_t>(n) * magic) >> 32);
    return (high + n) >> shift;
  }
};

/// Takes dividend % by.value off `dividend`, which becomes the quotient.
DM_BOTH std::int64_t take_remainder(std::int64_t& dividend, const Divisor& by) {
  const std::int64_t quotient = by.quotient(dividend);
  const std::int64_t remainder = dividend - quotient * by.value;
  dividend = quotient;
  return remainder;
}

}  // namespace dm::cuda
