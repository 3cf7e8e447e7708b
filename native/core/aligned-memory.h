// SPDX-License-Identifier: Apache-2.0
// Memory from the system, as buffers and scratch want it.
#pragma once

#include <cstddef>

namespace dm {

/// At least `bytes` > 0, 64-byte aligned, contents undefined; null when the system has none.
///
/// In a build with DIFFMAVIL_GUARD_PAGES the block, rounded to 64 bytes, ends where a page begins
/// that nobody may touch, so that a write or read beyond it stops the program there and then, that
/// of generated code too, which sanitizers do not see.
void* aligned_allocate(std::size_t bytes);

/// `bytes` as it was asked for. Null is fine.
void aligned_free(void* block, std::size_t bytes);

}  // namespace dm
