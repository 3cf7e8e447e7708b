// SPDX-License-Identifier: Apache-2.0
// Blocks over segments of a source that counts: where they lie, what is joined, what goes back, what the statistics say.
#include "cuda/core/caching-allocator.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"

using dm::cuda::CachingAllocator;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Addresses without memory behind them: nobody may touch it. Segments are far apart, so that none joins another.
class Segments : public dm::cuda::SegmentSource {
 public:
  explicit Segments(std::size_t most) : most_(most) {}
  void* take(std::size_t bytes) override {
    if (total() + bytes > most_) return nullptr;
    next_ += std::uintptr_t{1} << 32;
    held_[next_] = bytes;
    ++taken;
    return reinterpret_cast<void*>(next_);
  }
  void give_back(void* segment, std::size_t bytes) override {
    const auto found = held_.find(reinterpret_cast<std::uintptr_t>(segment));
    CHECK(found != held_.end() && found->second == bytes);
    if (found != held_.end()) held_.erase(found);
  }
  std::size_t total() const {
    std::size_t sum = 0;
    for (const auto& [start, bytes] : held_) sum += bytes;
    return sum;
  }
  std::size_t count() const { return held_.size(); }
  int taken = 0;

 private:
  std::size_t most_;
  std::uintptr_t next_ = 0;
  std::map<std::uintptr_t, std::size_t> held_;
};

struct Machine {
  explicit Machine(std::size_t most = 1024 * kMiB) : segments(most), blocks(segments) {}
  Segments segments;
  CachingAllocator blocks;
  std::uint64_t in_use() const { return blocks.statistics().in_use; }
  std::uint64_t cached() const { return blocks.statistics().cached; }
};

constexpr std::size_t kLayers = 12;

/// What a training step of 12 layers 768 wide asks for and gives back: each layer keeps six buffers for the backward pass, which takes them from the
/// last to the first and leaves a gradient of a weight for the update. `rows`: tokens of all clips. False when there was no memory.
bool train(CachingAllocator& blocks, std::size_t rows) {
  constexpr std::size_t kHeads = 12;
  constexpr std::size_t kRow = 768 * sizeof(float);
  const std::size_t tokens = rows * kRow;
  bool all = true;
  const auto take = [&](std::size_t bytes) {
    void* const data = blocks.allocate(bytes);
    all = all && data != nullptr;
    return data;
  };
  std::vector<void*> kept, gradients;
  const auto passing = [&](std::size_t bytes) { blocks.release(take(bytes)); };
  kept.push_back(take(tokens));
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    void* const normed = take(tokens);
    kept.push_back(take(3 * tokens));
    blocks.release(normed);
    for (const std::size_t bytes : {tokens, rows * kHeads * sizeof(float), tokens, 4 * tokens}) {
      kept.push_back(take(bytes));
    }
    void* const hidden = take(4 * tokens);
    kept.push_back(take(tokens));
    blocks.release(hidden);
  }
  void* gradient = take(tokens);
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    passing(4 * tokens);
    gradients.push_back(take(4 * 768 * kRow));
    for (std::size_t part = 0; part < 2; ++part) {
      void* const next = take(tokens);
      passing(3 * tokens);
      blocks.release(gradient);
      gradient = next;
    }
    for (int i = 0; i < 6; ++i) {
      blocks.release(kept.back());
      kept.pop_back();
    }
  }
  gradients.push_back(gradient);
  gradients.push_back(kept.front());
  for (void* data : gradients) blocks.release(data);
  return all;
}

std::uintptr_t at(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

}  // namespace

TEST("small blocks lie in segments of 2 MiB, rounded to 256 bytes, one after another") {
  Machine m;
  void* const a = m.blocks.allocate(1);
  void* const b = m.blocks.allocate(257);
  void* const c = m.blocks.allocate(0);
  CHECK_EQUAL(at(b) - at(a), std::uintptr_t{256});
  CHECK_EQUAL(at(c) - at(b), std::uintptr_t{512});
  CHECK_EQUAL(m.segments.total(), 2 * kMiB);
  CHECK_EQUAL(m.in_use(), std::uint64_t{256 + 512 + 256});
  CHECK_EQUAL(m.cached(), std::uint64_t{2 * kMiB - 1024});
}

TEST("large blocks share segments of 20 MiB, and from 10 MiB on have their own in steps of 2 MiB") {
  Machine m;
  m.blocks.allocate(kMiB + 1);
  m.blocks.allocate(9 * kMiB);
  CHECK_EQUAL(m.segments.total(), 20 * kMiB);
  m.blocks.allocate(11 * kMiB);
  CHECK_EQUAL(m.segments.total(), (20 + 12) * kMiB);
}

TEST("what is left of a large block is kept apart from more than 1 MiB on") {
  Machine m;
  m.blocks.allocate(11 * kMiB);  // 1 MiB of its segment is not worth keeping
  CHECK_EQUAL(m.in_use(), std::uint64_t{12 * kMiB});
  CHECK_EQUAL(m.cached(), std::uint64_t{0});
}

TEST("what is left of a small block is kept apart down to 256 bytes") {
  Machine m;
  m.blocks.allocate(kMiB);
  void* const b = m.blocks.allocate(kMiB - 256);
  CHECK_EQUAL(at(m.blocks.allocate(1)) - at(b), std::uintptr_t{kMiB - 256});
  CHECK_EQUAL(m.cached(), std::uint64_t{0});
}

TEST("the smallest block that holds a request is taken, of equals the lowest") {
  Machine m;
  std::vector<void*> blocks;
  for (const std::size_t bytes : {1024, 256, 512, 256, 768, 256, 512}) {
    blocks.push_back(m.blocks.allocate(bytes));
  }
  for (const std::size_t i : {0, 2, 4}) CHECK(m.blocks.release(blocks[i]));
  CHECK(m.blocks.allocate(600) == blocks[4]);
  CHECK(m.blocks.allocate(500) == blocks[2]);
  CHECK(m.blocks.allocate(100) == blocks[0]);
}

TEST("free neighbours join on both sides, and the whole segment serves again") {
  Machine m;
  void* const a = m.blocks.allocate(kMiB / 2);
  void* const b = m.blocks.allocate(kMiB / 2);
  void* const c = m.blocks.allocate(kMiB / 2);
  void* const d = m.blocks.allocate(kMiB / 2);
  for (void* block : {a, c, b, d}) CHECK(m.blocks.release(block));
  CHECK(m.blocks.allocate(kMiB) == a);
  CHECK(m.blocks.allocate(kMiB) == c);
  CHECK_EQUAL(m.segments.taken, 1);
}

TEST("a block says how large it is and when it was used last: the latest of what it was joined from") {
  Machine m;
  void* const a = m.blocks.allocate(256);
  void* const b = m.blocks.allocate(256);
  CHECK_EQUAL(m.blocks.find(a)->last_use, std::uint64_t{0});
  m.blocks.release(a, 5);
  m.blocks.release(b, 7);
  void* const both = m.blocks.allocate(512);
  CHECK(both == a);
  CHECK_EQUAL(m.blocks.find(both)->last_use, std::uint64_t{7});
  CHECK_EQUAL(m.blocks.find(both)->bytes, std::size_t{512});
  CHECK(m.blocks.find(b) == nullptr);
  CHECK(!m.blocks.release(b));
  CHECK(m.blocks.release(both, 9));
  CHECK(!m.blocks.release(both));
  // A part of what was used is used as late as the whole.
  CHECK_EQUAL(m.blocks.find(m.blocks.allocate(256))->last_use, std::uint64_t{9});
  CHECK_EQUAL(m.blocks.find(m.blocks.allocate(256))->last_use, std::uint64_t{9});
}

TEST("workspace is counted apart from buffers, and the peak is that of buffers") {
  Machine m;
  void* const a = m.blocks.allocate(512);
  void* const w = m.blocks.allocate(1024, CachingAllocator::Use::kWorkspace);
  CHECK_EQUAL(m.in_use(), std::uint64_t{512});
  CHECK_EQUAL(m.blocks.statistics().workspace, std::uint64_t{1024});
  m.blocks.release(a);
  m.blocks.allocate(256);
  CHECK_EQUAL(m.blocks.statistics().peak, std::uint64_t{512});
  m.blocks.release(w);
  CHECK_EQUAL(m.blocks.statistics().workspace, std::uint64_t{0});
}

TEST("trim gives back the segments that are free as a whole, and no others") {
  Machine m;
  void* const small = m.blocks.allocate(100);
  void* const large = m.blocks.allocate(5 * kMiB);
  void* const larger = m.blocks.allocate(30 * kMiB);
  m.blocks.release(larger);
  CHECK_EQUAL(m.blocks.trim(), 30 * kMiB);
  CHECK_EQUAL(m.segments.total(), 22 * kMiB);
  m.blocks.release(large);
  m.blocks.release(small);
  CHECK_EQUAL(m.blocks.trim(), 22 * kMiB);
  CHECK_EQUAL(m.segments.total(), std::size_t{0});
  CHECK_EQUAL(m.cached(), std::uint64_t{0});
}

TEST("short of memory it trims and tries again, takes less than a usual segment, and then has none") {
  Machine m(24 * kMiB);
  void* const a = m.blocks.allocate(22 * kMiB);
  CHECK(m.blocks.allocate(4 * kMiB) == nullptr);
  void* const small = m.blocks.allocate(kMiB);
  CHECK(small != nullptr);
  m.blocks.release(a);
  CHECK(m.blocks.allocate(23 * kMiB) == nullptr);  // the small segment stays
  m.blocks.release(small);
  void* const b = m.blocks.allocate(23 * kMiB);
  CHECK(b != nullptr);
  CHECK_EQUAL(m.segments.total(), 24 * kMiB);
  m.blocks.release(b);
  CHECK_EQUAL(m.blocks.trim(), 24 * kMiB);
  void* const c = m.blocks.allocate(12 * kMiB);
  CHECK(m.blocks.allocate(9 * kMiB) != nullptr);  // 10 MiB, not 20
  m.blocks.release(c);
  CHECK(m.blocks.allocate(13 * kMiB, CachingAllocator::Use::kBuffer, CachingAllocator::kShared,
                          false) == nullptr);
  CHECK(m.blocks.allocate(SIZE_MAX) == nullptr);
}

TEST("the sentence of a device without memory names what is wanted, in use, cached and there") {
  Machine m;
  void* const a = m.blocks.allocate(1000);
  m.blocks.allocate(256, CachingAllocator::Use::kWorkspace);
  CHECK(a != nullptr);
  CHECK_EQUAL(dm::cuda::exhausted("allocate", 5000, m.blocks.statistics(), 4 * kMiB),
              "allocate: expected 5000 bytes of device memory, got none: 1280 in use, 2095872 cached, "
              "4194304 in total. Try: a smaller batch, or a device that nobody else uses");
}

TEST("a pool keeps its blocks to itself until it ends, and then they are everybody's") {
  Machine m;
  const CachingAllocator::Pool pool = m.blocks.make_pool();
  const auto use = CachingAllocator::Use::kBuffer;
  void* const own = m.blocks.allocate(256, use, pool);
  void* const kept = m.blocks.allocate(256, use, pool);
  CHECK_EQUAL(m.blocks.find(own)->pool, pool);
  m.blocks.release(own);
  void* const other = m.blocks.allocate(256);
  CHECK(other != own);
  CHECK(m.blocks.allocate(256, use, pool) == own);
  m.blocks.release(own);
  m.blocks.release(other);
  CHECK_EQUAL(m.blocks.trim(), 2 * kMiB);  // that of everybody
  m.blocks.end_pool(pool, 12);
  void* const again = m.blocks.allocate(256);
  CHECK(again == own);
  CHECK_EQUAL(m.blocks.find(again)->last_use, std::uint64_t{12});
  CHECK(m.blocks.allocate(256) != own);
  // What was still in use follows when it is released.
  m.blocks.release(again);
  m.blocks.release(kept);
  CHECK(m.blocks.allocate(512) == own);
  CHECK_EQUAL(m.segments.count(), std::size_t{1});
}

TEST("steps that alternate between shapes take no segment after the first turn of all of them") {
  Machine m(std::size_t{8} << 30);
  const auto turn = [&m] {
    for (const std::size_t tokens : {51, 157, 102, 314}) CHECK(train(m.blocks, 16 * tokens));
  };
  turn();
  const int taken = m.segments.taken;
  for (int i = 0; i < 50; ++i) turn();
  CHECK_EQUAL(m.segments.taken, taken);
  CHECK_EQUAL(m.in_use(), std::uint64_t{0});
  // The largest shape's blocks serve the others, but for what is cut off them.
  CHECK(static_cast<double>(m.segments.total()) <= 1.5 * static_cast<double>(m.blocks.statistics().peak));
}

TEST("lengths that are new in every step leave a bounded share cached, and fit where the driver has half as much again as the peak") {
  const auto steps = [](Machine& m, int count, std::mt19937_64& random) {
    for (int i = 0; i < count; ++i) CHECK(train(m.blocks, 16 * (50 + random() % 300)));
  };
  Machine m(std::size_t{64} << 30);
  std::mt19937_64 random(1);
  steps(m, 300, random);
  const int taken = m.segments.taken;
  steps(m, 300, random);
  std::printf("     %d segments after 300 steps, %d after 600, %.2f times the peak\n", taken, m.segments.taken,
              static_cast<double>(m.segments.total()) / static_cast<double>(m.blocks.statistics().peak));
  CHECK(m.segments.taken <= taken + 2 * static_cast<int>(kLayers));  // a length above all before it may still come
  CHECK(static_cast<double>(m.segments.total()) <= 3 * static_cast<double>(m.blocks.statistics().peak));
  Machine tight(m.blocks.statistics().peak * 3 / 2);
  random.seed(1);
  steps(tight, 600, random);
  CHECK(tight.segments.taken > m.segments.taken);  // it had to trim
}

TEST("as many blocks of any size in any order: none overlap, all are aligned, counted and given back") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    Machine m(600 * kMiB);
    std::mt19937_64 random(seed);
    std::map<std::uintptr_t, std::size_t> live;
    std::uint64_t in_use = 0;
    std::uint64_t peak = 0;
    const CachingAllocator::Pool pool = m.blocks.make_pool();
    for (int turn = 0; turn < 6000; ++turn) {
      if (random() % 100 < 55 || live.empty()) {
        const std::size_t bytes = random() >> (44 + random() % 20) << (random() % 6);
        void* const data = m.blocks.allocate(bytes, CachingAllocator::Use::kBuffer,
                                             turn % 5 == 0 ? pool : CachingAllocator::kShared);
        if (data == nullptr) continue;
        const std::size_t there = m.blocks.find(data)->bytes;
        CHECK(there >= bytes && there <= bytes + kMiB + 256);
        CHECK_EQUAL(at(data) % 256, std::uintptr_t{0});
        const auto next = live.lower_bound(at(data));
        CHECK(next == live.end() || at(data) + there <= next->first);
        CHECK(next == live.begin() || std::prev(next)->first + std::prev(next)->second <= at(data));
        live[at(data)] = there;
        in_use += there;
        peak = in_use > peak ? in_use : peak;
      } else {
        auto chosen = live.begin();
        std::advance(chosen, random() % live.size());
        CHECK(m.blocks.release(reinterpret_cast<void*>(chosen->first)));
        in_use -= chosen->second;
        live.erase(chosen);
      }
      if (turn % 500 == 499) m.blocks.trim();
      CHECK_EQUAL(m.in_use(), in_use);
      CHECK_EQUAL(m.blocks.statistics().peak, peak);
      CHECK_EQUAL(m.cached(), m.segments.total() - in_use);
    }
    CHECK(m.segments.taken > 30);
    for (const auto& [start, bytes] : live) CHECK(m.blocks.release(reinterpret_cast<void*>(start)));
    m.blocks.end_pool(pool);
    const std::size_t held = m.segments.total();
    CHECK_EQUAL(m.blocks.trim(), held);
    CHECK_EQUAL(m.segments.total(), std::size_t{0});
  }
}
