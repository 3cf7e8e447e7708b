// SPDX-License-Identifier: Apache-2.0
// Layer normalization against float64, for widths around the vectors of every instruction set, and for any number of threads.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/thread-pool.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

struct Result {
  std::vector<float> y, mean, rstd, dx, d_weight, d_bias;
};

float value(std::size_t i, unsigned salt) {
  const auto word = static_cast<unsigned>(i) * 2654435761u + salt * 40503u;
  return static_cast<float>(word >> 8) / 8388608.0f - 1.0f;
}

std::vector<float> values(std::size_t count, unsigned salt) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = value(i, salt);
  return result;
}

Result run(std::size_t rows, std::size_t width) {
  const std::size_t count = rows * width;
  std::vector<float> x = values(count, 1);
  std::vector<float> weight = values(width, 2);
  std::vector<float> bias = values(width, 3);
  std::vector<float> dy = values(count, 4);
  Result r{std::vector<float>(count), std::vector<float>(rows),  std::vector<float>(rows),
           std::vector<float>(count), std::vector<float>(width), std::vector<float>(width)};
  const auto row_count = static_cast<double>(rows);
  const auto column_count = static_cast<double>(width);
  CHECK_EQUAL(dm::test::run_op("DmLayerNorm",
                               {buffer_of(x), buffer_of(weight), buffer_of(bias), buffer_of(r.y),
                                buffer_of(r.mean), buffer_of(r.rstd)},
                               {row_count, column_count, 1e-6})
                  .message(),
              "");
  CHECK_EQUAL(dm::test::run_op("DmLayerNormGrad",
                               {buffer_of(dy), buffer_of(x), buffer_of(weight), buffer_of(r.mean),
                                buffer_of(r.rstd), buffer_of(r.dx), buffer_of(r.d_weight),
                                buffer_of(r.d_bias)},
                               {row_count, column_count})
                  .message(),
              "");
  return r;
}

/// The largest error of y, dx (one row), in float64.
double worst_error(std::size_t width) {
  const Result r = run(1, width);
  double mean = 0;
  for (std::size_t i = 0; i < width; ++i) mean += value(i, 1);
  mean /= static_cast<double>(width);
  double variance = 0;
  for (std::size_t i = 0; i < width; ++i) variance += (value(i, 1) - mean) * (value(i, 1) - mean);
  const double rstd = 1 / std::sqrt(variance / static_cast<double>(width) + 1e-6);
  double sum = 0;
  double along = 0;
  for (std::size_t i = 0; i < width; ++i) {
    const double h = static_cast<double>(value(i, 4)) * value(i, 2);
    sum += h;
    along += h * (value(i, 1) - mean) * rstd;
  }
  double worst = 0;
  for (std::size_t i = 0; i < width; ++i) {
    const double s = (value(i, 1) - mean) * rstd;
    const double y = s * value(i, 2) + value(i, 3);
    const double h = static_cast<double>(value(i, 4)) * value(i, 2);
    const double dx = rstd * (h - (sum + s * along) / static_cast<double>(width));
    worst = std::fmax(worst, std::abs(y - static_cast<double>(r.y[i])));
    worst = std::fmax(worst, std::abs(dx - static_cast<double>(r.dx[i])) / rstd);
    worst = std::fmax(worst, std::abs(static_cast<double>(value(i, 4)) * s -
                                      static_cast<double>(r.d_weight[i])));
  }
  return worst;
}

}  // namespace

TEST("is within 2e-6 of float64 for every width up to 70, and wide ones") {
  for (std::size_t width = 2; width <= 70; ++width) CHECK(worst_error(width) < 2e-6);
  for (const std::size_t width : {std::size_t{768}, std::size_t{1001}}) {
    CHECK(worst_error(width) < 2e-6);
  }
}

TEST("has the same bits for any number of threads") {
  const int before = dm::threads();
  dm::set_threads(1);
  const Result one = run(700, 333);
  for (const int threads : {2, 4, 7}) {
    dm::set_threads(threads);
    const Result many = run(700, 333);
    CHECK(one.y == many.y);
    CHECK(one.dx == many.dx);
    CHECK(one.d_weight == many.d_weight);
    CHECK(one.d_bias == many.d_bias);
  }
  dm::set_threads(before);
}
