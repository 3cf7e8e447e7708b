// SPDX-License-Identifier: Apache-2.0
// What storing a JavaScript number in an Int32Array does to it.
#pragma once

#include <cmath>
#include <cstdint>

namespace dm {

/// Towards zero, modulo 2^32; NaN and infinities become 0.
inline std::int32_t to_int32(double value) {
  if (std::abs(value) < 2147483648.0) return static_cast<std::int32_t>(value);
  if (!std::isfinite(value)) return 0;
  const double rest = std::fmod(std::trunc(value), 4294967296.0);
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::int64_t>(rest)));
}

}  // namespace dm
