// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::buffer_of;
using dm::test::run_op;

TEST("fills each dtype, and no more than the count") {
  std::vector<float> floats(200'001, 0);
  CHECK(run_op("Fill", {buffer_of(floats)}, {0, 200'000, -0.5}).ok());
  CHECK_EQUAL(floats[0], -0.5f);
  CHECK_EQUAL(floats[199'999], -0.5f);
  CHECK_EQUAL(floats[200'000], 0.0f);
  std::vector<std::int32_t> ints(3, 0);
  CHECK(run_op("Fill", {buffer_of(ints)}, {1, 3, -2147483648.0}).ok());
  CHECK_EQUAL(ints[2], INT32_MIN);
  std::vector<std::uint8_t> bools(3, 0);
  CHECK(run_op("Fill", {buffer_of(bools)}, {2, 3, 1}).ok());
  CHECK_EQUAL(int{bools[1]}, 1);
}

TEST("refuses a value outside the dtype") {
  std::vector<std::int32_t> ints(1, 0);
  CHECK_EQUAL(run_op("Fill", {buffer_of(ints)}, {1, 1, 2147483648.0}).message(),
              "Fill: expected a value of the dtype, got 2147483648");
  CHECK_EQUAL(run_op("Fill", {buffer_of(ints)}, {2, 1, -1}).message(),
              "Fill: expected a value of the dtype, got -1");
}

TEST("copies bytes, also onto themselves") {
  std::vector<std::uint8_t> x(600'000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint8_t>(i * 7);
  std::vector<std::uint8_t> y(x.size());
  CHECK(run_op("Copy", {buffer_of(x), buffer_of(y)}, {600'000}).ok());
  CHECK(x == y);
  CHECK(run_op("Copy", {buffer_of(x), buffer_of(x)}, {600'000}).ok());
  CHECK(x == y);
}
