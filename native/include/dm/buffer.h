// SPDX-License-Identifier: Apache-2.0
// A block of host memory that a tensor's values live in.
#pragma once

#include <cstddef>
#include <memory>

namespace dm {

namespace cpu {
class PackedWeight;
}

/// Alignment of every block, in bytes: one cache line, one AVX-512 register.
inline constexpr std::size_t kAlignment = 64;

/// `data` is null once the buffer has been freed (and for a buffer of no bytes); `bytes` is what
/// was asked for.
///
/// `packed` are the contents as a weight, rearranged for matrix products (cpu/packed-weight.h). It
/// must be dropped when the contents change: `Arguments` does so whenever an op asks for the buffer
/// as non-const, and so do write and free.
struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  bool freed = false;
  std::shared_ptr<cpu::PackedWeight> packed = nullptr;
};

}  // namespace dm
