// SPDX-License-Identifier: Apache-2.0
#include "cuda/emulator/races.h"

#ifdef DM_EMULATOR_RACES

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cuda/emulator/simt-emulator.h"

namespace dm::cuda::emulator::races {

namespace {

constexpr int kLanes = 32;
constexpr std::size_t kPage = 4096;

/// Who did something to a byte, and when.
enum class By : std::uint8_t { kNobody, kThread, kWarp, kBlock, kLaunch };
struct Access {
  std::uint32_t launch = 0, block = 0;
  std::uint32_t block_time = 0, warp_time = 0;  ///< meetings before it
  int thread = 0;
  By by = By::kNobody;
  const void* from = nullptr;

  int warp() const { return thread / kLanes; }
};

/// The last write, and the last reads that are not in order with each other.
struct Byte {
  Access write, reads;
  bool awaited = false;  ///< a copy is on its way
};

using Page = std::array<Byte, kPage>;

struct Clock {
  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages;
  std::uintptr_t newest_at = 0;
  Page* newest = nullptr;
  std::uint32_t launch = 0, block = 0, block_time = 0;
  std::vector<std::uint32_t> warp_time;
};

Clock& clock() {
  static thread_local Clock made;
  return made;
}

Byte& byte_at(std::uintptr_t address) {
  Clock& c = clock();
  const std::uintptr_t page = address / kPage;
  if (c.newest == nullptr || c.newest_at != page) {
    auto& there = c.pages[page];
    if (there == nullptr) there = std::make_unique<Page>();
    c.newest = there.get();
    c.newest_at = page;
  }
  return (*c.newest)[address % kPage];
}

Access now(const void* from) {
  const Clock& c = clock();
  const int thread = thread_index();
  return {c.launch, c.block, c.block_time, c.warp_time[static_cast<std::size_t>(thread / kLanes)],
          thread, By::kThread, from};
}

/// Whether all of `before` is over for a thread that does `after`.
bool in_order(const Access& before, const Access& after) {
  if (before.by == By::kNobody || before.launch != after.launch) return true;
  if (before.by == By::kLaunch || before.block != after.block) return false;
  if (before.block_time < after.block_time) return true;
  if (before.by == By::kThread && before.thread == after.thread) return true;
  return before.by != By::kBlock && before.warp() == after.warp() && before.warp_time < after.warp_time;
}

/// The reads that are there and one more.
void add_read(Access& reads, const Access& read) {
  if (in_order(reads, read)) {
    reads = read;
  } else if (reads.by == By::kLaunch || reads.block != read.block) {
    reads.by = By::kLaunch;
  } else if (reads.by == By::kBlock || reads.warp() != read.warp()) {
    reads.by = By::kBlock;
  } else {
    reads.by = By::kWarp;
  }
}

void print(const char* what, const Access& access) {
  Dl_info info{};
  dladdr(access.from, &info);
  const auto offset = static_cast<const char*>(access.from) - static_cast<const char*>(info.dli_fbase);
  std::fprintf(stderr, "  %s: block %u, thread %d%s, after %u barriers and %u warp_syncs, at %s+0x%tx\n",
               what, access.block, access.thread, access.by == By::kThread ? "" : " and others",
               access.block_time, access.warp_time, info.dli_fname, offset);
}

[[noreturn]] void stop(const char* fault, std::uintptr_t address, const Access& before,
                       const Access& after) {
  const auto shared = reinterpret_cast<std::uintptr_t>(shared_memory());
  const bool inside = owns_shared(reinterpret_cast<const void*>(address));
  std::fprintf(stderr, "emulator: %s, %s 0x%tx\n", fault, inside ? "byte of shared memory" : "address",
               inside ? address - shared : address);
  print("before", before);
  print("after", after);
  std::abort();
}

template <class Use>
void for_bytes(const void* data, std::size_t bytes, const Use& use) {
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  for (std::size_t i = 0; i < bytes; ++i) use(first + i, byte_at(first + i));
}

void write(std::uintptr_t address, Byte& byte, const Access& own) {
  if (!in_order(byte.write, own)) stop("two writes that nothing orders", address, byte.write, own);
  if (!in_order(byte.reads, own)) stop("a write that a read does not wait for", address, byte.reads, own);
  byte.write = own;
}

}  // namespace

void begin_launch() { ++clock().launch; }

void begin_block() {
  Clock& c = clock();
  ++c.block;
  c.block_time = 0;
  c.warp_time.assign(static_cast<std::size_t>((block_threads() + kLanes - 1) / kLanes), 0);
  for_bytes(shared_memory(), shared_bytes(), [](std::uintptr_t, Byte& byte) { byte = {}; });
}

void met_block() { ++clock().block_time; }

void met_warp(int warp) { ++clock().warp_time[static_cast<std::size_t>(warp)]; }

void access(const void* data, std::size_t bytes, bool writes, const void* from) {
  if (!in_kernel() || owns_stack(data)) return;
  const Access own = now(from);
  for_bytes(data, bytes, [&](std::uintptr_t address, Byte& byte) {
    if (byte.awaited) stop("an access where a copy is on its way", address, byte.write, own);
    if (writes) return write(address, byte, own);
    if (!in_order(byte.write, own)) stop("a read that does not wait for a write", address, byte.write, own);
    add_read(byte.reads, own);
  });
}

void copy_starts(const void* data, std::size_t bytes, const void* from) {
  const Access own = now(from);
  for_bytes(data, bytes, [&](std::uintptr_t address, Byte& byte) {
    write(address, byte, own);
    byte.awaited = true;
  });
}

void copy_landed(const void* data, std::size_t bytes, const void* from) {
  const Access own = now(from);
  for_bytes(data, bytes, [&](std::uintptr_t, Byte& byte) {
    byte.write = own;
    byte.awaited = false;
  });
}

}  // namespace dm::cuda::emulator::races

// ---- what the compiler calls ---------------------------------------------------------------------------------------------------------

#define DM_ACCESS(name, bytes, writes)                                                            \
  extern "C" void name(const void* data) {                                                        \
    dm::cuda::emulator::races::access(data, bytes, writes, __builtin_return_address(0));          \
  }
#define DM_ACCESSES(bytes)                      \
  DM_ACCESS(__tsan_read##bytes, bytes, false)   \
  DM_ACCESS(__tsan_write##bytes, bytes, true)   \
  DM_ACCESS(__tsan_unaligned_read##bytes, bytes, false) \
  DM_ACCESS(__tsan_unaligned_write##bytes, bytes, true)
DM_ACCESSES(1)
DM_ACCESSES(2)
DM_ACCESSES(4)
DM_ACCESSES(8)
DM_ACCESSES(16)
extern "C" {
void __tsan_read_range(const void* data, std::size_t bytes) {
  dm::cuda::emulator::races::access(data, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(const void* data, std::size_t bytes) {
  dm::cuda::emulator::races::access(data, bytes, true, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
std::uint8_t __tsan_atomic8_load(const volatile std::uint8_t* from, int) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
}

#endif
