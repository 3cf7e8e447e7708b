// SPDX-License-Identifier: Apache-2.0
#include "core/thread-pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

TEST("visits every index once, in chunks of the grain") {
  for (const int threads : {1, 2, 5}) {
    dm::set_threads(threads);
    for (const std::int64_t count : {0, 1, 7, 64, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      dm::parallel_for(count, 7, [&](std::int64_t begin, std::int64_t end) {
        CHECK_EQUAL(begin % 7, 0);
        CHECK(end == count || end == begin + 7);
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      for (const auto& visit : visits) CHECK_EQUAL(visit.load(), 1);
    }
  }
}

TEST("sums to the same bits with any number of threads") {
  constexpr std::int64_t kCount = 100'003;
  const auto sum = [] {
    return dm::parallel_reduce(
        kCount, 1000, 0.0f,
        [](std::int64_t begin, std::int64_t end) {
          float partial = 0;
          for (std::int64_t i = begin; i < end; ++i) partial += 1.0f / static_cast<float>(i + 1);
          return partial;
        },
        [](float a, float b) { return a + b; });
  };
  dm::set_threads(1);
  const float expected = sum();
  for (const int threads : {2, 3, 8}) {
    dm::set_threads(threads);
    for (int i = 0; i < 20; ++i) CHECK_EQUAL(sum(), expected);
  }
}

TEST("serves several callers at once, and calls from inside a call") {
  dm::set_threads(3);
  std::atomic<std::int64_t> total{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        dm::parallel_for(16, 1, [&](std::int64_t, std::int64_t) {
          dm::parallel_for(4, 1,
                           [&](std::int64_t begin, std::int64_t end) { total += end - begin; });
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK_EQUAL(total.load(), 4 * 200 * 16 * 4);
}

TEST("keeps the number of threads in 1..256") {
  dm::set_threads(0);
  CHECK_EQUAL(dm::threads(), 1);
  dm::set_threads(1000);
  CHECK_EQUAL(dm::threads(), 256);
  CHECK(dm::default_threads() >= 1);
}
