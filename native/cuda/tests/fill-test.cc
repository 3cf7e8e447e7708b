// SPDX-License-Identifier: Apache-2.0
// Tensors of one value, numbers at equal distances, choices and one-hot rows on the device: all exact.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

using Ints = std::vector<std::int32_t>;
using Bools = std::vector<std::uint8_t>;

}  // namespace

TEST("fills any count of each dtype") {
  for (const std::size_t count : {std::size_t{1}, std::size_t{4}, std::size_t{1027}}) {
    std::vector<float> floats = unwritten(count);
    CHECK_EQUAL(run_device_op("Fill", {buffer_of(floats)}, {0, static_cast<double>(count), 0.1}), "");
    CHECK(floats == std::vector<float>(count, 0.1f));
    Ints ints(count, 7);
    CHECK_EQUAL(run_device_op("Fill", {buffer_of(ints)}, {1, static_cast<double>(count), -5}), "");
    CHECK(ints == Ints(count, -5));
    Bools bools(count, 7);
    CHECK_EQUAL(run_device_op("Fill", {buffer_of(bools)}, {2, static_cast<double>(count), 1}), "");
    CHECK(bools == Bools(count, 1));
  }
  Bools bools(1);
  CHECK_EQUAL(run_device_op("Fill", {buffer_of(bools)}, {2, 1, 256}),
              "Fill: expected a value of the dtype, got 256");
}

TEST("counts in equal steps, each rounded once") {
  std::vector<float> floats = unwritten(1003);
  CHECK_EQUAL(run_device_op("Range", {buffer_of(floats)}, {0, 1003, -2, 0.1}), "");
  for (std::size_t i = 0; i < floats.size(); ++i) {
    CHECK_EQUAL(floats[i], static_cast<float>(-2 + static_cast<double>(i) * 0.1));
  }
  Ints ints(6, 9);
  CHECK_EQUAL(run_device_op("Range", {buffer_of(ints)}, {1, 6, 10, -3}), "");
  CHECK((ints == Ints{10, 7, 4, 1, -2, -5}));
  CHECK_EQUAL(run_device_op("Range", {buffer_of(ints)}, {1, 2, 2147483647, 1}),
              "Range: expected values of int32, got larger ones");
}

TEST("chooses where the condition is 1") {
  constexpr std::size_t kCount = 1030;
  Bools condition(kCount);
  for (std::size_t i = 0; i < kCount; ++i) condition[i] = i % 3 == 0 ? 1 : (i % 3 == 1 ? 0 : 2);
  std::vector<float> yes = noise(kCount, 1);
  std::vector<float> no = noise(kCount, 2);
  std::vector<float> out = unwritten(kCount);
  CHECK_EQUAL(run_device_op("Select",
                            {buffer_of(condition), buffer_of(yes), buffer_of(no), buffer_of(out)},
                            {0, kCount}),
              "");
  for (std::size_t i = 0; i < kCount; ++i) CHECK_EQUAL(out[i], i % 3 == 0 ? yes[i] : no[i]);
  Bools few(5, 9);
  Bools ones(5, 1);
  Bools zeros(5, 0);
  CHECK_EQUAL(run_device_op("Select",
                            {buffer_of(condition), buffer_of(ones), buffer_of(zeros), buffer_of(few)},
                            {2, 5}),
              "");
  CHECK((few == Bools{1, 0, 0, 1, 0}));
}

TEST("is on at the index of each row, and off in a row whose index is outside") {
  for (const std::size_t depth : {std::size_t{1}, std::size_t{5}, std::size_t{8}}) {
    Ints indices{0, 0, -1, 7, 1};
    std::vector<float> y = unwritten(5 * depth);
    CHECK_EQUAL(run_device_op("OneHot", {buffer_of(indices), buffer_of(y)},
                              {0, 5, static_cast<double>(depth), 2.5, -1}),
                "");
    for (std::size_t i = 0; i < y.size(); ++i) {
      const bool on = indices[i / depth] == static_cast<std::int32_t>(i % depth);
      CHECK_EQUAL(y[i], on ? 2.5f : -1.0f);
    }
  }
  Ints index{1};
  Bools row(3, 9);
  CHECK_EQUAL(run_device_op("OneHot", {buffer_of(index), buffer_of(row)}, {2, 1, 3, 1, 0}), "");
  CHECK((row == Bools{0, 1, 0}));
}
