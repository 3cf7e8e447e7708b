// SPDX-License-Identifier: Apache-2.0
#include "core/buffer-pool.h"

#include <cstdint>
#include <cstring>

#include "check.h"
#include "dm/buffer.h"

using dm::BufferPool;

TEST("rounds sizes up by at most an eighth") {
  for (std::size_t bytes = 1; bytes < 5'000'000; bytes += bytes / 97 + 1) {
    const std::size_t size = BufferPool::class_size(bytes);
    CHECK(size >= bytes);
    CHECK(size % dm::kAlignment == 0);
    CHECK(bytes <= 512 ? size < bytes + 64 : size - bytes <= bytes / 8);
  }
  CHECK_EQUAL(BufferPool::class_size(512), 512u);
  CHECK_EQUAL(BufferPool::class_size(513), 576u);
  CHECK_EQUAL(BufferPool::class_size(1024), 1024u);
  CHECK_EQUAL(BufferPool::class_size(1025), 1152u);
  CHECK_EQUAL(BufferPool::class_size(std::size_t{1} << 60), 0u);
}

TEST("gives aligned blocks and takes them back") {
  BufferPool pool;
  for (const std::size_t bytes : {1u, 64u, 1000u, 70'000u, 9'000'000u}) {
    void* block = pool.allocate(bytes);
    CHECK(block != nullptr);
    CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(block) % dm::kAlignment, 0u);
    std::memset(block, 1, bytes);
    pool.release(block, bytes);
    CHECK_EQUAL(pool.allocate(bytes), block);
    pool.release(block, bytes);
  }
  CHECK_EQUAL(pool.statistics().in_use, 0u);
  pool.trim();
  CHECK_EQUAL(pool.statistics().pooled, 0u);
}

TEST("counts bytes in use, pooled and at the peak") {
  BufferPool pool;
  void* a = pool.allocate(1024);
  void* b = pool.allocate(2048);
  pool.release(a, 1024);
  CHECK_EQUAL(pool.statistics().in_use, 2048u);
  CHECK_EQUAL(pool.statistics().pooled, 1024u);
  CHECK_EQUAL(pool.statistics().peak, 3072u);
  pool.release(b, 2048);
  pool.reset_peak();
  CHECK_EQUAL(pool.statistics().peak, 0u);
}

TEST("gives unused sizes back before it grows beyond 1.25 times its peak") {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  BufferPool pool;
  pool.release(pool.allocate(64 * kMiB), 64 * kMiB);  // peak 64, limit 80
  void* b = pool.allocate(32 * kMiB);
  CHECK_EQUAL(pool.statistics().pooled, 0u);
  pool.release(b, 32 * kMiB);
  void* c = pool.allocate(40 * kMiB);  // 32 + 40 <= 80: both stay
  CHECK_EQUAL(pool.statistics().pooled, 32 * kMiB);
  pool.release(c, 40 * kMiB);
}

TEST("returns null when there is no memory, and goes on") {
  BufferPool pool;
  CHECK(pool.allocate(std::size_t{1} << 51) == nullptr);
  CHECK(pool.allocate(~std::size_t{0}) == nullptr);
  CHECK(pool.allocate(0) == nullptr);
  pool.release(nullptr, 0);
  void* block = pool.allocate(100);
  CHECK(block != nullptr);
  pool.release(block, 100);
}
