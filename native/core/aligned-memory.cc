// SPDX-License-Identifier: Apache-2.0
// posix_memalign, with huge pages for large blocks; or pages of its own for each block.
#include "core/aligned-memory.h"

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "dm/buffer.h"

namespace dm {

#if defined(DM_GUARD_PAGES)

namespace {

constexpr std::size_t kPage = 4096;

std::size_t rounded(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void* aligned_allocate(std::size_t bytes) {
  const std::size_t used = rounded(bytes, kAlignment);
  const std::size_t pages = rounded(used, kPage);
  void* base = mmap(nullptr, pages + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto* start = static_cast<std::byte*>(base);
  if (mprotect(start + pages, kPage, PROT_NONE) != 0) std::abort();
  return start + pages - used;
}

void aligned_free(void* block, std::size_t bytes) {
  if (block == nullptr) return;
  const std::size_t used = rounded(bytes, kAlignment);
  const std::size_t pages = rounded(used, kPage);
  munmap(static_cast<std::byte*>(block) + used - pages, pages + kPage);
}

#else

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

void* aligned_allocate(std::size_t bytes) {
  const bool huge = bytes >= 2 * kHugePage;
  void* block = nullptr;
  if (posix_memalign(&block, huge ? kHugePage : kAlignment, bytes) != 0) return nullptr;
#if defined(__linux__)
  // Fewer page faults and table misses; advice only.
  if (huge) madvise(block, bytes, MADV_HUGEPAGE);
#endif
  return block;
}

void aligned_free(void* block, std::size_t) { std::free(block); }

#endif

}  // namespace dm
