// SPDX-License-Identifier: Apache-2.0
// What LruCache keeps, forgets and makes again, from one thread and from several.
#include "core/lru-cache.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace {

using Cache = dm::LruCache<int, std::string>;

/// Values that say which key they were made for, and how many were made.
struct Maker {
  std::atomic<int> made = 0;

  std::shared_ptr<const std::string> get(Cache& cache, int key) {
    return cache.get(key, [&] {
      ++made;
      return std::make_shared<const std::string>("value " + std::to_string(key));
    });
  }
};

}  // namespace

TEST("makes a value once and hands out the same one") {
  Cache cache(2);
  Maker maker;
  const auto first = maker.get(cache, 1);
  CHECK_EQUAL(*first, "value 1");
  CHECK(maker.get(cache, 1) == first);
  CHECK_EQUAL(maker.made, 1);
  CHECK_EQUAL(cache.size(), 1u);
}

TEST("forgets what was longest not asked for, and makes it again") {
  Cache cache(2);
  Maker maker;
  const auto one = maker.get(cache, 1);
  maker.get(cache, 2);
  maker.get(cache, 1);
  maker.get(cache, 3);  // 2 goes
  CHECK_EQUAL(cache.size(), 2u);
  CHECK(maker.get(cache, 1) == one);
  CHECK_EQUAL(maker.made, 3);
  maker.get(cache, 2);
  CHECK_EQUAL(maker.made, 4);
  maker.get(cache, 3);  // went for 2
  CHECK_EQUAL(maker.made, 5);
}

TEST("leaves a forgotten value with those who hold it") {
  Cache cache(1);
  Maker maker;
  const auto one = maker.get(cache, 1);
  maker.get(cache, 2);
  CHECK_EQUAL(*one, "value 1");
  CHECK_EQUAL(one.use_count(), 1);
}

TEST("keeps nothing of a value that could not be made") {
  Cache cache(2);
  Maker maker;
  maker.get(cache, 1);
  std::string caught;
  try {
    cache.get(2, []() -> std::shared_ptr<const std::string> { throw std::runtime_error("no"); });
  } catch (const std::runtime_error& error) {
    caught = error.what();
  }
  CHECK_EQUAL(caught, "no");
  CHECK_EQUAL(cache.size(), 1u);
  CHECK_EQUAL(*maker.get(cache, 2), "value 2");
}

TEST("may be asked while it makes a value") {
  Cache cache(4);
  Maker maker;
  const auto outer = cache.get(
      1, [&] { return std::make_shared<const std::string>(*maker.get(cache, 2) + ", then 1"); });
  CHECK_EQUAL(*outer, "value 2, then 1");
  CHECK_EQUAL(cache.size(), 2u);
}

TEST("keeps one value a key when threads make it at the same time") {
  Cache cache(8);
  Maker maker;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const int key = (i * 7 + t) % 11;
        if (*maker.get(cache, key) != "value " + std::to_string(key)) ++wrong;
        if (cache.size() > 8) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(cache.size(), 8u);
  CHECK(maker.made >= 11);
  const auto once = maker.get(cache, 100);
  CHECK(maker.get(cache, 100) == once);
}
