// SPDX-License-Identifier: Apache-2.0
// Memory that an op needs while it runs, out of the pool of buffers: so it is warm, and counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "core/buffer-pool.h"

namespace dm::cpu {

/// `count` elements, contents undefined, 64-byte aligned. Throws std::bad_alloc when there is no memory, which the op table turns
/// into a status; never make one inside parallel_for.
template <typename T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(std::int64_t count) : bytes_(static_cast<std::size_t>(count) * sizeof(T)) {
    if (bytes_ == 0) return;
    data_ = BufferPool::instance().allocate(bytes_);
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Scratch() { release(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return static_cast<T*>(data_); }

  /// Gives it back early.
  void release() {
    BufferPool::instance().release(data_, bytes_);
    data_ = nullptr;
    bytes_ = 0;
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace dm::cpu
