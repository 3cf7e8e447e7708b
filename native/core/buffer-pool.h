// SPDX-License-Identifier: Apache-2.0
// Blocks of memory for buffers, kept for reuse by size class. One pool per process, shared by all
// JavaScript threads.
//
// A class is a multiple of 64 bytes up to 512, then an eighth of a power of two: at most 12.5 % is
// lost to rounding. Freed blocks stay until `trim()`, or until a new block would bring the total
// above 1.25 times the most that was ever in use at once (64 MiB at least): then the blocks of the
// classes that were longest not asked for go back first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace dm {

struct PoolStatistics {
  std::size_t in_use = 0;  ///< bytes of live blocks, rounded to their class
  std::size_t pooled = 0;  ///< bytes kept for reuse
  std::size_t peak = 0;    ///< the most that was in use at once
};

class BufferPool {
 public:
  /// The pool of the process; never destroyed.
  static BufferPool& instance();

  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// 64-byte aligned, contents undefined. Null for 0 bytes and when the system has none left even
  /// after a trim.
  void* allocate(std::size_t bytes);
  /// `bytes` as it was asked for. Null is fine.
  void release(void* block, std::size_t bytes);
  /// Gives all unused blocks back to the system.
  void trim();
  PoolStatistics statistics() const;
  /// Starts a new peak from what is in use now.
  void reset_peak();

  /// The bytes a block for `bytes` really has; 0 when they cannot be counted.
  static std::size_t class_size(std::size_t bytes);

 private:
  struct SizeClass {
    std::vector<void*> blocks;
    std::uint64_t last_use = 0;
  };

  void shrink_to(std::size_t pooled_bytes);

  mutable std::mutex mutex_;
  std::map<std::size_t, SizeClass> classes_;
  PoolStatistics statistics_;
  std::uint64_t clock_ = 0;
};

}  // namespace dm
