// SPDX-License-Identifier: Apache-2.0
// Size classes, free lists, and the rule that bounds them.
#include "core/buffer-pool.h"

#include <algorithm>
#include <bit>

#include "core/aligned-memory.h"
#include "dm/buffer.h"

namespace dm {

namespace {

#if defined(DM_GUARD_PAGES)
// A block for each buffer, no larger than it, and never used again.
constexpr std::size_t kSmallest = std::size_t{1} << 52;
constexpr bool kReuse = false;
#else
constexpr std::size_t kSmallest = 512;
constexpr bool kReuse = true;
#endif
constexpr std::size_t kLeastLimit = std::size_t{64} << 20;
constexpr std::size_t kLargest = std::size_t{1} << 52;

}  // namespace

BufferPool& BufferPool::instance() {
  static BufferPool& pool = *new BufferPool;
  return pool;
}

BufferPool::~BufferPool() { trim(); }

std::size_t BufferPool::class_size(std::size_t bytes) {
  if (bytes > kLargest) return 0;
  if (bytes <= kSmallest) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

void* BufferPool::allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::size_t size = class_size(bytes);
  if (size == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  SizeClass& size_class = classes_[size];
  size_class.last_use = ++clock_;
  void* block = nullptr;
  if (!size_class.blocks.empty()) {
    block = size_class.blocks.back();
    size_class.blocks.pop_back();
    statistics_.pooled -= size;
  } else {
    const std::size_t limit = std::max(kLeastLimit, statistics_.peak + statistics_.peak / 4);
    const std::size_t taken = statistics_.in_use + size;
    shrink_to(limit > taken ? limit - taken : 0);
    block = aligned_allocate(size);
    if (block == nullptr) {
      shrink_to(0);
      block = aligned_allocate(size);
    }
    if (block == nullptr) return nullptr;
  }
  statistics_.in_use += size;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  return block;
}

void BufferPool::release(void* block, std::size_t bytes) {
  if (block == nullptr) return;
  const std::size_t size = class_size(bytes);
  const std::lock_guard lock(mutex_);
  statistics_.in_use -= size;
  classes_[size].blocks.push_back(block);
  statistics_.pooled += size;
  if (!kReuse) shrink_to(0);
}

void BufferPool::trim() {
  const std::lock_guard lock(mutex_);
  shrink_to(0);
}

PoolStatistics BufferPool::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void BufferPool::reset_peak() {
  const std::lock_guard lock(mutex_);
  statistics_.peak = statistics_.in_use;
}

/// Under the lock.
void BufferPool::shrink_to(std::size_t pooled_bytes) {
  while (statistics_.pooled > pooled_bytes) {
    auto oldest = classes_.end();
    for (auto it = classes_.begin(); it != classes_.end(); ++it) {
      if (it->second.blocks.empty()) continue;
      if (oldest == classes_.end() || it->second.last_use < oldest->second.last_use) oldest = it;
    }
    if (oldest == classes_.end()) return;
    auto& [size, size_class] = *oldest;
    while (!size_class.blocks.empty() && statistics_.pooled > pooled_bytes) {
      aligned_free(size_class.blocks.back(), size);
      size_class.blocks.pop_back();
      statistics_.pooled -= size;
    }
  }
}

}  // namespace dm
