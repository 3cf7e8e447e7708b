// SPDX-License-Identifier: Apache-2.0
// Softmax on the device against float64.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

/// The slope of y (dy - sum) loses what sum and dy have in common: all of it where one y is nearly 1.
void compare(std::size_t rows, std::size_t width, float range, double slope_error = 2e-6) {
  std::vector<float> x = noise(rows * width, 1);
  for (float& value : x) value *= range;
  std::vector<float> dy = noise(rows * width, 2);
  std::vector<float> y = unwritten(rows * width);
  std::vector<float> dx = unwritten(rows * width);
  const std::vector<double> numbers{static_cast<double>(rows), static_cast<double>(width)};
  CHECK_EQUAL(run_device_op("Softmax", {buffer_of(x), buffer_of(y)}, numbers), "");
  CHECK_EQUAL(run_device_op("DmSoftmaxGrad", {buffer_of(dy), buffer_of(y), buffer_of(dx)}, numbers),
              "");
  std::vector<double> value(x.begin(), x.end());
  std::vector<double> slope(x.size());
  for (std::size_t row = 0; row < rows; ++row) {
    double* v = value.data() + row * width;
    const double most = *std::max_element(v, v + width);
    double sum = 0;
    double along = 0;
    for (std::size_t c = 0; c < width; ++c) sum += std::exp(v[c] - most);
    for (std::size_t c = 0; c < width; ++c) {
      v[c] = std::exp(v[c] - most) / sum;
      along += v[c] * static_cast<double>(dy[row * width + c]);
    }
    for (std::size_t c = 0; c < width; ++c) {
      slope[row * width + c] = v[c] * (static_cast<double>(dy[row * width + c]) - along);
    }
  }
  CHECK_ERROR(relative_error(y, value), 1e-6);
  CHECK_ERROR(relative_error(dx, slope), slope_error);
}

}  // namespace

TEST("is within 1e-6 of float64 at every number of columns that a lane holds, by fours and not") {
  for (const std::size_t width :
       {std::size_t{2}, std::size_t{31}, std::size_t{128}, std::size_t{131}, std::size_t{313},
        std::size_t{512}, std::size_t{527}, std::size_t{1024}, std::size_t{1025}, std::size_t{1568}}) {
    compare(5, width, 4);
  }
}

TEST("does not overflow, and fills a block") {
  compare(4, 16, 300, 2e-5);
  compare(1, 51, 1);
}

TEST("makes a row with a NaN all NaN, in place too, and leaves the others") {
  std::vector<float> x(2 * 1100, 1.0f);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_EQUAL(run_device_op("Softmax", {buffer_of(x), buffer_of(x)}, {2, 1100}), "");
  CHECK(std::isnan(x[0]) && std::isnan(x[1099]));
  CHECK_ERROR(std::abs(static_cast<double>(x[1100]) * 1100 - 1), 1e-6);
}

TEST("says which buffer is too short") {
  std::vector<float> x = noise(3, 1);
  CHECK_EQUAL(run_device_op("Softmax", {buffer_of(x), buffer_of(x)}, {2, 2}),
              "Softmax: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
}
