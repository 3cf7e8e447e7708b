// SPDX-License-Identifier: Apache-2.0
// The largest elements of rows on the device: exact.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

using Ints = std::vector<std::int32_t>;

void compare(std::size_t rows, std::size_t width, std::size_t k) {
  std::vector<float> x = noise(rows * width, 1);
  for (float& value : x) value = std::round(value * 20);  // many are equal
  std::vector<float> values = unwritten(rows * k);
  Ints indices(rows * k, -9);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(values), buffer_of(indices)},
                            {0, static_cast<double>(rows), static_cast<double>(width),
                             static_cast<double>(k)}),
              "");
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<std::size_t> order(width);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return x[row * width + a] > x[row * width + b];
    });
    for (std::size_t i = 0; i < k; ++i) {
      CHECK_EQUAL(indices[row * k + i], static_cast<std::int32_t>(order[i]));
      CHECK_EQUAL(values[row * k + i], x[row * width + order[i]]);
    }
  }
}

}  // namespace

TEST("sorts the largest, equal ones by place") {
  compare(3, 1, 1);
  compare(4, 51, 5);
  compare(2, 313, 20);
  compare(1, 600, 3);
  compare(2, 17, 17);
}

TEST("puts NaN last and keeps -0 beside 0") {
  std::vector<float> x{std::numeric_limits<float>::quiet_NaN(), -0.0f, 0.0f,
                       -std::numeric_limits<float>::infinity(), 2};
  std::vector<float> values = unwritten(5);
  Ints indices(5);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(values), buffer_of(indices)},
                            {0, 1, 5, 5}),
              "");
  CHECK((indices == Ints{4, 1, 2, 3, 0}));
  Ints ints{-5, 2147483647, -2147483647 - 1};
  Ints best(2);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(ints), buffer_of(best), buffer_of(indices)},
                            {1, 1, 3, 2}),
              "");
  CHECK((best == Ints{2147483647, -5}));
}

TEST("refuses more than there are") {
  std::vector<float> x(2);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(x), buffer_of(x)}, {0, 1, 2, 3}),
              "TopK: expected k of at most the width, got 3");
}
