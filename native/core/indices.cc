// SPDX-License-Identifier: Apache-2.0
// Checks and lists of indices.
#include "core/indices.h"

#include <cstddef>
#include <string>

namespace dm {

void check_indices(Arguments& in, const std::int32_t* indices, std::int64_t count,
                   std::int64_t limit) {
  if (!in.ok()) return;
  for (std::int64_t i = 0; i < count; ++i) {
    if (indices[i] < 0 || indices[i] >= limit) {
      in.fail("indices 0.." + std::to_string(limit - 1), std::to_string(indices[i]));
      return;
    }
  }
}

Places::Places(const std::int32_t* indices, std::int64_t count, std::int64_t targets)
    : first(static_cast<std::size_t>(targets), -1), next(static_cast<std::size_t>(count), -1) {
  for (std::int64_t place = count; place-- > 0;) {
    const std::int64_t target = indices[place];
    if (target < 0 || target >= targets) continue;
    next[static_cast<std::size_t>(place)] = first[static_cast<std::size_t>(target)];
    first[static_cast<std::size_t>(target)] = place;
  }
}

}  // namespace dm
