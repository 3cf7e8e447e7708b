// SPDX-License-Identifier: Apache-2.0
// Tasks on the pool that need scratch memory, and may therefore throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>

#include "core/aligned-memory.h"
#include "core/thread-pool.h"

namespace dm::cpu {

/// Memory that a thread keeps between tasks; 64-byte aligned, contents undefined.
class ThreadScratch {
 public:
  static ThreadScratch& of_this_thread() {
    thread_local ThreadScratch scratch;
    return scratch;
  }

  /// Valid until the next call. Throws std::bad_alloc.
  std::byte* bytes(std::size_t count) {
    if (count > size_) {
      release();
      data_ = static_cast<std::byte*>(aligned_allocate(count));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = count;
    }
    return data_;
  }

  ThreadScratch() = default;
  ~ThreadScratch() { release(); }
  ThreadScratch(const ThreadScratch&) = delete;
  ThreadScratch& operator=(const ThreadScratch&) = delete;

 private:
  void release() {
    aligned_free(data_, size_);
    data_ = nullptr;
    size_ = 0;
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Calls `task(index, scratch)` for 0 <= index < count on the pool, `grain` of them at a time; throws
/// the first exception of the tasks once all have ended.
template <typename Task>
void run_tasks(std::int64_t count, std::int64_t grain, const Task& task) {
  std::mutex mutex;
  std::exception_ptr first;
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      try {
        task(index, ThreadScratch::of_this_thread());
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (first == nullptr) first = std::current_exception();
      }
    }
  });
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace dm::cpu
