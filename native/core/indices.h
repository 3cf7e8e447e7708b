// SPDX-License-Identifier: Apache-2.0
// Indices that an op reads through: checked before anything is read, and turned around for sums that repeat bit for bit.
#pragma once

#include <cstdint>
#include <vector>

#include "core/arguments.h"

namespace dm {

/// Records a fault unless each index is in 0..limit-1.
void check_indices(Arguments& in, const std::int32_t* indices, std::int64_t count,
                   std::int64_t limit);

/// For each target 0..targets-1 the places that point at it, in rising order: `first[target]`, then `next[place]`, until -1.
/// Indices outside are left out.
struct Places {
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> next;

  Places(const std::int32_t* indices, std::int64_t count, std::int64_t targets);
};

}  // namespace dm
