// SPDX-License-Identifier: Apache-2.0
#include "cuda/core/caching-allocator.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace dm::cuda {

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kGrain = 256;
constexpr std::size_t kLargestSmall = kMiB;
constexpr std::size_t kSmallSegment = 2 * kMiB;
constexpr std::size_t kSegment = 20 * kMiB;
constexpr std::size_t kLargestShared = 10 * kMiB;  ///< larger requests have a segment to themselves
constexpr std::size_t kStep = 2 * kMiB;

std::size_t rounded(std::size_t bytes, std::size_t grain) {
  return (bytes + grain - 1) / grain * grain;
}

std::size_t segment_bytes(std::size_t bytes, bool small) {
  if (small) return kSmallSegment;
  return bytes < kLargestShared ? kSegment : rounded(bytes, kStep);
}

/// What is left of a block is kept apart from so many bytes on.
std::size_t least_rest(bool small) { return small ? kGrain : kLargestSmall + kGrain; }

}  // namespace

CachingAllocator::~CachingAllocator() {
  for (const auto& [memory, segment] : segments_) source_.give_back(memory, segment->bytes);
}

void* CachingAllocator::allocate(std::size_t bytes, Use use, Pool pool, bool may_trim) {
  // A sum that would wrap around is more than any device has.
  if (bytes > SIZE_MAX / 2) return nullptr;
  const std::size_t wanted = rounded(std::max<std::size_t>(bytes, 1), kGrain);
  const bool small = wanted <= kLargestSmall;
  Part* part = best_fit(wanted, pool, small);
  if (part == nullptr) part = new_segment(wanted, pool, small, may_trim);
  if (part == nullptr) return nullptr;
  free_parts(*part->segment).erase(part);
  statistics_.cached -= part->bytes;
  if (part->bytes - wanted >= least_rest(small)) split(part, wanted);
  part->free = false;
  part->use = use;
  (use == Use::kBuffer ? statistics_.in_use : statistics_.workspace) += part->bytes;
  statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  blocks_[part->start] = {part->bytes, part->last_use, pool};
  return part->start;
}

bool CachingAllocator::release(void* data, std::uint64_t last_use) {
  if (blocks_.erase(data) == 0) return false;
  Part* part = parts_.at(data).get();
  (part->use == Use::kBuffer ? statistics_.in_use : statistics_.workspace) -= part->bytes;
  statistics_.cached += part->bytes;
  part->free = true;
  part->last_use = std::max(part->last_use, last_use);
  if (part->before != nullptr && part->before->free) part = join(part->before, part);
  if (part->after != nullptr && part->after->free) part = join(part, part->after);
  free_parts(*part->segment).insert(part);
  return true;
}

const CachingAllocator::Block* CachingAllocator::find(const void* data) const {
  const auto found = blocks_.find(data);
  return found == blocks_.end() ? nullptr : &found->second;
}

void CachingAllocator::end_pool(Pool pool, std::uint64_t last_use) {
  for (const bool small : {false, true}) {
    const auto found = free_.find({pool, small});
    if (found == free_.end()) continue;
    for (Part* part : found->second) part->last_use = std::max(part->last_use, last_use);
    free_[{kShared, small}].merge(found->second);
    free_.erase({pool, small});
  }
  for (const auto& [memory, segment] : segments_) {
    if (segment->pool == pool) segment->pool = kShared;
  }
}

std::size_t CachingAllocator::trim() {
  std::vector<Part*> whole;
  for (const bool small : {false, true}) {
    for (Part* part : free_[{kShared, small}]) {
      if (part->before == nullptr && part->after == nullptr) whole.push_back(part);
    }
  }
  std::size_t bytes = 0;
  for (Part* part : whole) bytes += give_back(part);
  return bytes;
}

CachingAllocator::Part* CachingAllocator::best_fit(std::size_t bytes, Pool pool, bool small) {
  FreeParts& parts = free_[{pool, small}];
  Part smallest{nullptr, bytes, 0, true, Use::kBuffer, nullptr, nullptr, nullptr};
  const auto found = parts.lower_bound(&smallest);
  return found == parts.end() ? nullptr : *found;
}

/// Of the usual size, or of what is needed when there is no more; then the same again after trimming.
CachingAllocator::Part* CachingAllocator::new_segment(std::size_t bytes, Pool pool, bool small,
                                                      bool may_trim) {
  for (const bool again : {false, true}) {
    if (again && (!may_trim || trim() == 0)) break;
    for (const std::size_t size : {segment_bytes(bytes, small), rounded(bytes, kStep)}) {
      void* const memory = source_.take(size);
      if (memory != nullptr) return add_segment(memory, size, pool, small);
    }
  }
  return nullptr;
}

CachingAllocator::Part* CachingAllocator::add_segment(void* memory, std::size_t bytes, Pool pool,
                                                      bool small) {
  auto& segment = segments_[memory];
  segment = std::make_unique<Segment>(Segment{bytes, pool, small});
  auto& part = parts_[memory];
  part = std::make_unique<Part>(Part{static_cast<std::byte*>(memory), bytes, 0, true, Use::kBuffer,
                                     segment.get(), nullptr, nullptr});
  free_parts(*segment).insert(part.get());
  statistics_.cached += bytes;
  return part.get();
}

/// Leaves `bytes` to a part that is in no list; the rest is a free part of its own.
void CachingAllocator::split(Part* part, std::size_t bytes) {
  std::byte* const start = part->start + bytes;
  auto& rest = parts_[start];
  rest = std::make_unique<Part>(Part{start, part->bytes - bytes, part->last_use, true, Use::kBuffer,
                                     part->segment, part, part->after});
  if (part->after != nullptr) part->after->before = rest.get();
  part->after = rest.get();
  part->bytes = bytes;
  free_parts(*part->segment).insert(rest.get());
  statistics_.cached += rest->bytes;
}

/// Neighbours that are free, one of them in no list yet, as one that is in none.
CachingAllocator::Part* CachingAllocator::join(Part* left, Part* right) {
  FreeParts& parts = free_parts(*left->segment);
  parts.erase(left);
  parts.erase(right);
  left->bytes += right->bytes;
  left->last_use = std::max(left->last_use, right->last_use);
  left->after = right->after;
  if (left->after != nullptr) left->after->before = left;
  parts_.erase(right->start);
  return left;
}

std::size_t CachingAllocator::give_back(Part* whole) {
  void* const memory = whole->start;
  const std::size_t bytes = whole->bytes;
  free_parts(*whole->segment).erase(whole);
  statistics_.cached -= bytes;
  parts_.erase(memory);
  segments_.erase(memory);
  source_.give_back(memory, bytes);
  return bytes;
}

std::string exhausted(const std::string& where, std::size_t bytes,
                      const AllocatorStatistics& statistics, std::uint64_t total) {
  return where + ": expected " + std::to_string(bytes) + " bytes of device memory, got none: " +
         std::to_string(statistics.in_use + statistics.workspace) + " in use, " +
         std::to_string(statistics.cached) + " cached, " + std::to_string(total) +
         " in total. Try: a smaller batch, or a device that nobody else uses";
}

}  // namespace dm::cuda
