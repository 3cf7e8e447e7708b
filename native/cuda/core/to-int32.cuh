// SPDX-License-Identifier: Apache-2.0
// What storing a JavaScript number in an Int32Array does to it, as core/to-int32.h.
#pragma once

#include "cuda/core/simt.cuh"

namespace dm::cuda {

/// Towards zero, modulo 2^32; NaN and infinities become 0.
DM_DEVICE std::int32_t to_int32(double value) {
  if (fabs(value) < 2147483648.0) return static_cast<std::int32_t>(value);
  if (!(fabs(value) < 0x1p85)) return 0;  // multiples of 2^32 from here on
  const double rest = fmod(trunc(value), 4294967296.0);
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::int64_t>(rest)));
}

}  // namespace dm::cuda
