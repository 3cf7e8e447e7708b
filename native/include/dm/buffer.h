// SPDX-License-Identifier: Apache-2.0
// A block of host memory that a tensor's values live in.
#pragma once

#include <cstddef>

namespace dm {

/// Alignment of every block, in bytes: one cache line, one AVX-512 register.
inline constexpr std::size_t kAlignment = 64;

/// `data` is null once the buffer has been freed (and for a buffer of no bytes); `bytes` is what
/// was asked for.
struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  bool freed = false;
};

}  // namespace dm
