// SPDX-License-Identifier: Apache-2.0
// Copies in bfloat16 of weights: made once, rewritten by the optimizer, never stale.
#include <cstdint>

#include "shadow-case.h"

using dm::test::device;
using dm::test::noise;
using dm::test::unwritten;
using namespace dm::test::shadow;

TEST("a weight is rounded by the first product that reads it, and no more") {
  const There weight(kWeight);
  const std::int64_t before = shadows().made();
  const Values y = product(weight);
  CHECK_EQUAL(shadows().made() - before, 1);
  CHECK(product(weight) == y);
  CHECK_EQUAL(shadows().made() - before, 1);
  CHECK(copy_of(weight) == rounded(kWeight));
  CHECK_EQUAL(shadows().made() - before, 1);
}

TEST("a product of float32 makes none") {
  const There weight(kWeight);
  const std::int64_t before = shadows().made();
  product(weight, false);
  CHECK_EQUAL(shadows().made() - before, 0);
}

TEST("AdamW in place writes the copy with the weight, whatever their length") {
  for (const std::size_t count : {std::size_t{1}, std::size_t{63}, std::size_t{4096}, std::size_t{4099}}) {
    const There weight(noise(count, 1));
    shadows().of(weight.data(), static_cast<std::int64_t>(count));
    const std::int64_t made = shadows().made();
    update(weight, weight);
    const Values updated = weight.fetch();
    CHECK(updated != noise(count, 1));
    CHECK(copy_of(weight) == rounded(updated));
    CHECK_EQUAL(shadows().made() - made, 0);
  }
}

TEST("after AdamW in place, a product reads the new weight without rounding it") {
  const There weight(kWeight);
  const Values before = product(weight);
  const std::int64_t made = shadows().made();
  for (int step = 0; step < 2; ++step) update(weight, weight);
  const Values after = product(weight);
  CHECK_EQUAL(shadows().made() - made, 0);
  CHECK(after != before);
  CHECK(after == fresh_product(weight.fetch()));
}

TEST("AdamW into another buffer leaves the old weight's copy to its own master") {
  const There weight(kWeight);
  const There next(unwritten(kWeight.size()));
  const Values before = product(weight);
  update(weight, next);
  CHECK(product(weight) == before);
  CHECK(product(next) == fresh_product(next.fetch()));
}

TEST("AdamW of weights without copies makes none") {
  const There weight(kWeight);
  const std::size_t size = shadows().size();
  update(weight, weight);
  CHECK_EQUAL(shadows().size(), size);
}

TEST("an upload drops the copy, of a part of the weight too") {
  const There weight(kWeight);
  product(weight);
  weight.upload(kOther);
  CHECK(product(weight) == fresh_product(kOther));
  weight.upload({1.5f}, kWeight.size() - 1);
  Values expected = kOther;
  expected.back() = 1.5f;
  CHECK(product(weight) == fresh_product(expected));
}

TEST("memory that is given back takes its copy along: what gets the address next has its own") {
  There weight(kWeight);
  product(weight);
  const std::size_t size = shadows().size();
  const void* const address = weight.data();
  weight.release();
  CHECK_EQUAL(shadows().size(), size - 1);
  // An op fills what may be the same address.
  std::vector<void*> others;
  for (int i = 0; i < 64; ++i) {
    others.push_back(device().allocate(kWeight.size() * sizeof(float)));
    if (others.back() == address) break;
  }
  const There source(kOther);
  const dm::Buffer recycled{others.back(), source.bytes(), false};
  CHECK_EQUAL(run("Copy", {source.buffer(), recycled}, {kBytes}), "");
  const There x(noise(kRows * kIn, 3));
  const There y(unwritten(kRows * kOut));
  CHECK_EQUAL(run("DmLinear", {x.buffer(), recycled, y.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  CHECK(y.fetch() == fresh_product(kOther));
  for (void* other : others) device().release(other);
}

TEST("an op that writes into a weight drops the copy, from any place in memory") {
  const There weight(kWeight);
  const There source(kOther);
  product(weight);
  CHECK_EQUAL(run("Copy", {source.buffer(), weight.buffer()}, {kBytes}), "");
  CHECK(product(weight) == fresh_product(kOther));
  // Into the middle of it.
  const dm::Buffer part{weight.data() + 3, 8 * sizeof(float), false};
  CHECK_EQUAL(run("Copy", {There(kWeight).buffer(), part}, {32}), "");
  CHECK(product(weight) == fresh_product(weight.fetch()));
}

TEST("a product into the memory of a weight drops its copy, of its own weight too") {
  // y has 45 elements, the weight 63.
  const There weight(kWeight);
  const There x(noise(kRows * kIn, 3));
  product(weight);
  const There other(kOther);
  CHECK_EQUAL(run("DmLinear", {x.buffer(), other.buffer(), weight.buffer()}, {kRows, kIn, kOut, 0, 0, 1}), "");
  CHECK(product(weight) == fresh_product(weight.fetch()));
  // The gradient of a weight over it, and that of x, which reads it.
  const There dy(noise(kRows * kOut, 4));
  CHECK_EQUAL(run("DmLinearGrad", {dy.buffer(), x.buffer(), other.buffer(), other.buffer(), x.buffer()},
                  {kRows, kIn, kOut, 0, 0, 1, 1}),
              "");
  CHECK(other.fetch() != kOther);
  CHECK(product(other) == fresh_product(other.fetch()));
}

TEST("what others write is read after forget") {
  const There weight(kWeight);
  const There other(kOther);
  product(weight);
  product(other);
  device().synchronize();
  // Behind the device's back; on the emulator its memory is the host's.
  shadows().forget();
  CHECK_EQUAL(shadows().size(), std::size_t{0});
  const std::int64_t made = shadows().made();
  CHECK(product(weight) == fresh_product(kWeight));
  CHECK_EQUAL(shadows().made() - made, 2);
}

TEST("an op that fails drops the copies of what it was given") {
  const There weight(kWeight);
  product(weight);
  const std::size_t size = shadows().size();
  CHECK(run("DmLinear", {weight.buffer(), weight.buffer()}, {kRows, kIn, kOut, 0, 0, 1}) != "");
  CHECK_EQUAL(shadows().size(), size - 1);
  CHECK(product(weight) == fresh_product(kWeight));
}

TEST("weights that share memory have one copy, of whichever was read last") {
  const There both(noise(kOut * kIn + 4, 8));
  const std::int64_t count = kOut * kIn;
  shadows().begin_op();
  const std::size_t size = shadows().size();
  shadows().of(both.data(), count);
  shadows().of(both.data() + 4, count);
  CHECK_EQUAL(shadows().size(), size + 1);
  shadows().of(both.data(), count);
  shadows().of(both.data(), count + 4);
  CHECK(copy_of(both) == rounded(both.fetch()));
  CHECK_EQUAL(shadows().size(), size + 1);
}
