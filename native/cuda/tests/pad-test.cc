// SPDX-License-Identifier: Apache-2.0
// Margins on the device: exact copies.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

TEST("surrounds a tensor with one value") {
  std::vector<float> x = noise(2 * 3 * 5, 1);
  std::vector<float> y = unwritten(3 * 3 * 9);
  CHECK_EQUAL(run_device_op("PadV2", {buffer_of(x), buffer_of(y)},
                            {0, 0.25, 3, 2, 3, 5, 1, 0, 3, 0, 0, 1}),
              "");
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t a = i / 27;
    const std::size_t b = i / 9 % 3;
    const std::size_t c = i % 9;
    const bool inside = a >= 1 && c >= 3 && c < 8;
    CHECK_EQUAL(y[i], inside ? x[((a - 1) * 3 + b) * 5 + c - 3] : 0.25f);
  }
}

TEST("mirrors without the outermost values, and with them") {
  std::vector<std::int32_t> x{1, 2, 3, 4, 5, 6};
  std::vector<std::int32_t> y(3 * 7, -1);
  CHECK_EQUAL(run_device_op("MirrorPad", {buffer_of(x), buffer_of(y)},
                            {4, 0, 2, 2, 3, 1, 2, 0, 2}),
              "");
  CHECK((y == std::vector<std::int32_t>{6, 5, 4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 2, 1, 6, 5, 4, 5, 6, 5, 4}));
  std::vector<std::uint8_t> few{1, 2, 3};
  std::vector<std::uint8_t> row(8, 99);
  CHECK_EQUAL(run_device_op("MirrorPad", {buffer_of(few), buffer_of(row)}, {1, 1, 1, 3, 2, 3}), "");
  CHECK((row == std::vector<std::uint8_t>{2, 1, 1, 2, 3, 3, 2, 1}));
}

TEST("makes a margin around nothing, and none around a scalar") {
  std::vector<float> none;
  std::vector<float> y = unwritten(3);
  CHECK_EQUAL(run_device_op("PadV2", {buffer_of(none), buffer_of(y)}, {0, 7, 1, 0, 1, 2}), "");
  CHECK(y == std::vector<float>(3, 7.0f));
  std::vector<float> scalar{4};
  CHECK_EQUAL(run_device_op("PadV2", {buffer_of(scalar), buffer_of(y)}, {0, 7, 0}), "");
  CHECK_EQUAL(y[0], 4.0f);
}

TEST("refuses a mirror that is too short, and a value outside the dtype") {
  std::vector<std::int32_t> x(6);
  CHECK_EQUAL(run_device_op("MirrorPad", {buffer_of(x), buffer_of(x)}, {4, 0, 1, 2, 2, 0}),
              "MirrorPad: expected a margin of at most 1, got 2");
  CHECK_EQUAL(run_device_op("PadV2", {buffer_of(x), buffer_of(x)}, {2, 300, 1, 2, 1, 0}),
              "PadV2: expected a value of the dtype, got 300");
}
