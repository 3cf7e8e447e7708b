// SPDX-License-Identifier: Apache-2.0
// Blocks of device memory, cut from segments that a driver gives rarely and slowly. Knows addresses only: neither reads nor writes what is there.
//
// A request is rounded up to 256 bytes and takes the smallest free block that holds it (of equals the lowest), which is split when the rest is
// worth keeping. Up to 1 MiB blocks come from segments of 2 MiB; larger ones from segments of 20 MiB, or, from 10 MiB on, of their own
// size in steps of 2 MiB. A block that is released joins its free neighbours; a segment that is free as a whole can be given back.
//
// Worth keeping is 256 bytes in a small segment, and more than 1 MiB in a larger one: as in PyTorch's allocator without its max_split_size. So a
// large block may be split for a request far below its size, and the next large request may find none. Steps that repeat their shapes
// ask for no segment after the first of each shape. Lengths that are new in every step leave more than the peak cached besides, 1.25 times as much
// in the test of it (caching-allocator-test.cc); that goes back, segment by segment, before a request fails.
//
// Pools: a graph's blocks come from segments of its own, so that nobody else gets them while it lives. When it is gone its segments join
// those of everybody, at once or as their last blocks are released.
//
// Time: the caller numbers the work it starts. A block remembers the number of the last work that may use it, so that a copy beside the
// stream of work knows what to wait for (device/timeline.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

namespace dm::cuda {

/// Where segments come from.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  /// Null when there is none. 256-byte aligned.
  virtual void* take(std::size_t bytes) = 0;
  virtual void give_back(void* segment, std::size_t bytes) = 0;
};

/// Bytes.
struct AllocatorStatistics {
  std::uint64_t in_use = 0;     ///< of blocks of buffers that are handed out
  std::uint64_t workspace = 0;  ///< of blocks of workspace that are handed out
  std::uint64_t cached = 0;     ///< of free blocks
  std::uint64_t peak = 0;       ///< the largest `in_use`
};

class CachingAllocator {
 public:
  enum class Use { kBuffer, kWorkspace };
  using Pool = std::uint64_t;
  static constexpr Pool kShared = 0;

  /// A block that is handed out.
  struct Block {
    std::size_t bytes = 0;
    std::uint64_t last_use = 0;  ///< number of the last work that may use it, when it was handed out
    Pool pool = kShared;
  };

  explicit CachingAllocator(SegmentSource& source) : source_(source) {}
  /// Gives every segment back, in use or not.
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  /// Null when neither a free block nor the source has as many bytes; segments that are free are given back first where `may_trim`.
  void* allocate(std::size_t bytes, Use use = Use::kBuffer, Pool pool = kShared,
                 bool may_trim = true);
  /// False when there is no such block. `last_use` is the number of the last work that may use it.
  bool release(void* data, std::uint64_t last_use = 0);
  /// The block that begins there, or null.
  const Block* find(const void* data) const;

  Pool make_pool() { return ++newest_pool_; }
  /// The pool's segments are everybody's from now on; `last_use` as in `release`.
  void end_pool(Pool pool, std::uint64_t last_use = 0);
  /// Gives every segment back that is free as a whole and no graph's. Returns the bytes.
  std::size_t trim();

  const AllocatorStatistics& statistics() const { return statistics_; }

 private:
  struct Segment;
  /// A part of a segment: free, or handed out.
  struct Part {
    std::byte* start;
    std::size_t bytes;
    std::uint64_t last_use;
    bool free;
    Use use;
    Segment* segment;
    Part* before;
    Part* after;
  };
  struct Segment {
    std::size_t bytes;
    Pool pool;
    bool small;
  };
  /// By size, then address; of one pool and kind.
  struct BySize {
    bool operator()(const Part* a, const Part* b) const {
      return a->bytes != b->bytes ? a->bytes < b->bytes : a->start < b->start;
    }
  };
  using FreeParts = std::set<Part*, BySize>;

  FreeParts& free_parts(const Segment& segment) { return free_[{segment.pool, segment.small}]; }
  Part* best_fit(std::size_t bytes, Pool pool, bool small);
  Part* new_segment(std::size_t bytes, Pool pool, bool small, bool may_trim);
  Part* add_segment(void* memory, std::size_t bytes, Pool pool, bool small);
  void split(Part* part, std::size_t bytes);
  Part* join(Part* left, Part* right);
  std::size_t give_back(Part* whole);

  SegmentSource& source_;
  std::map<void*, std::unique_ptr<Segment>> segments_;
  std::unordered_map<const void*, std::unique_ptr<Part>> parts_;
  std::unordered_map<const void*, Block> blocks_;
  std::map<std::pair<Pool, bool>, FreeParts> free_;
  AllocatorStatistics statistics_;
  Pool newest_pool_ = kShared;
};

/// The sentence of a device that has no memory left.
std::string exhausted(const std::string& where, std::size_t bytes,
                      const AllocatorStatistics& statistics, std::uint64_t total);

}  // namespace dm::cuda
