// SPDX-License-Identifier: Apache-2.0
// Layer normalization on the device against float64.
#include <cmath>
#include <cstddef>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

constexpr double kEpsilon = 1e-6;

struct Exact {
  std::vector<double> y, dx, d_weight, d_bias;
};

Exact reference(const std::vector<float>& x, const std::vector<float>& weight,
                const std::vector<float>& bias, const std::vector<float>& dy, std::size_t rows) {
  const std::size_t width = weight.size();
  Exact r{std::vector<double>(rows * width), std::vector<double>(rows * width),
          std::vector<double>(width), std::vector<double>(width)};
  for (std::size_t row = 0; row < rows; ++row) {
    const auto at = [&](const std::vector<float>& v, std::size_t c) {
      return static_cast<double>(v[row * width + c]);
    };
    const auto n = static_cast<double>(width);
    double mean = 0;
    for (std::size_t c = 0; c < width; ++c) mean += at(x, c) / n;
    double variance = 0;
    for (std::size_t c = 0; c < width; ++c) variance += (at(x, c) - mean) * (at(x, c) - mean) / n;
    const double rstd = 1 / std::sqrt(variance + kEpsilon);
    double sum = 0;
    double along = 0;
    for (std::size_t c = 0; c < width; ++c) {
      const double s = (at(x, c) - mean) * rstd;
      const double h = at(dy, c) * static_cast<double>(weight[c]);
      sum += h / n;
      along += h * s / n;
      r.y[row * width + c] = s * static_cast<double>(weight[c]) + static_cast<double>(bias[c]);
      r.d_weight[c] += at(dy, c) * s;
      r.d_bias[c] += at(dy, c);
    }
    for (std::size_t c = 0; c < width; ++c) {
      const double s = (at(x, c) - mean) * rstd;
      const double h = at(dy, c) * static_cast<double>(weight[c]);
      r.dx[row * width + c] = rstd * (h - sum - s * along);
    }
  }
  return r;
}

void compare(std::size_t rows, std::size_t width) {
  std::vector<float> x = noise(rows * width, 1);
  std::vector<float> weight = noise(width, 2);
  std::vector<float> bias = noise(width, 3);
  std::vector<float> dy = noise(rows * width, 4);
  std::vector<float> y = unwritten(rows * width);
  std::vector<float> mean = unwritten(rows);
  std::vector<float> rstd = unwritten(rows);
  std::vector<float> dx = unwritten(rows * width);
  std::vector<float> d_weight = unwritten(width);
  std::vector<float> d_bias = unwritten(width);
  const auto r = static_cast<double>(rows);
  const auto c = static_cast<double>(width);
  CHECK_EQUAL(run_device_op("DmLayerNorm",
                            {buffer_of(x), buffer_of(weight), buffer_of(bias), buffer_of(y),
                             buffer_of(mean), buffer_of(rstd)},
                            {r, c, kEpsilon}),
              "");
  CHECK_EQUAL(run_device_op("DmLayerNormGrad",
                            {buffer_of(dy), buffer_of(x), buffer_of(weight), buffer_of(mean),
                             buffer_of(rstd), buffer_of(dx), buffer_of(d_weight), buffer_of(d_bias)},
                            {r, c}),
              "");
  const Exact exact = reference(x, weight, bias, dy, rows);
  CHECK_ERROR(relative_error(y, exact.y), 1e-6);
  CHECK_ERROR(relative_error(dx, exact.dx), 1e-6);
  CHECK_ERROR(relative_error(d_weight, exact.d_weight), 1e-6);
  CHECK_ERROR(relative_error(d_bias, exact.d_bias), 1e-6);
}

}  // namespace

TEST("is within 1e-6 of float64 at widths around a warp and past what a lane holds") {
  for (const std::size_t width : {std::size_t{2}, std::size_t{31}, std::size_t{33}, std::size_t{51},
                                  std::size_t{768}, std::size_t{1024}, std::size_t{1025}}) {
    compare(5, width);
  }
}

TEST("is within 1e-6 of float64 at row counts around a block and past a grid") {
  for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{157}}) {
    compare(rows, 48);
  }
}

TEST("gives zero gradients for no rows") {
  std::vector<float> none;
  std::vector<float> weight = noise(3, 1);
  std::vector<float> d_weight = unwritten(3);
  std::vector<float> d_bias = unwritten(3);
  CHECK_EQUAL(run_device_op("DmLayerNormGrad",
                            {buffer_of(none), buffer_of(none), buffer_of(weight), buffer_of(none),
                             buffer_of(none), buffer_of(none), buffer_of(d_weight), buffer_of(d_bias)},
                            {0, 3}),
              "");
  CHECK(d_weight == std::vector<float>(3, 0.0f));
  CHECK(d_bias == std::vector<float>(3, 0.0f));
}

TEST("says which buffer is too short") {
  std::vector<float> x = noise(3, 1);
  std::vector<float> w = noise(2, 1);
  CHECK_EQUAL(run_device_op("DmLayerNorm",
                            {buffer_of(x), buffer_of(w), buffer_of(w), buffer_of(x), buffer_of(w),
                             buffer_of(w)},
                            {2, 2, kEpsilon}),
              "DmLayerNorm: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
}
