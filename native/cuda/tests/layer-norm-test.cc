// SPDX-License-Identifier: Apache-2.0
// Layer normalization on the device against float64.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/core/bf16.cuh"
#include "cuda/layer-norm.h"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::device;
using dm::test::DeviceCopy;
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
                                  std::size_t{512}, std::size_t{767}, std::size_t{768},
                                  std::size_t{1024}, std::size_t{1025}, std::size_t{1280}, std::size_t{1284}}) {
    compare(5, width);
  }
}

TEST("is within 1e-6 of float64 at row counts around a block and past a grid") {
  for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{157}}) {
    compare(rows, 48);
  }
}

namespace {

using Words = std::vector<std::uint16_t>;

Words rounded(const std::vector<float>& values) {
  Words words;
  for (const float value : values) words.push_back(dm::cuda::to_bf16(value).bits);
  return words;
}
std::vector<float> widened(const Words& words) {
  std::vector<float> values;
  for (const std::uint16_t word : words) values.push_back(dm::cuda::to_float(dm::cuda::bf16{word}));
  return values;
}

/// What branches ask for: rows of type T, the gradient that goes around the norm, the normalized rows once more; from `skipped` floats after an
/// aligned place.
template <class T>
void compare_in_branch(std::size_t rows, std::size_t width, std::size_t skipped, bool residual) {
  constexpr bool kBFloat16 = sizeof(T) == 2;
  const std::size_t size = rows * width;
  std::vector<float> x = noise(size + skipped, 1);
  std::vector<float> weight = noise(width, 2), bias = noise(width, 3), around = noise(size, 5);
  std::vector<float> dy = noise(size, 4);
  std::vector<T> typed_dy, y(size, T{}), again(size, T{});
  if constexpr (kBFloat16) {
    typed_dy = rounded(dy);
    dy = widened(typed_dy);
  } else {
    typed_dy = dy;
    y = again = unwritten(size);
  }
  std::vector<float> mean = unwritten(rows), rstd = unwritten(rows), dx = unwritten(size + skipped);
  std::vector<float> d_weight = unwritten(width), d_bias = unwritten(width);
  const Exact exact = reference({x.begin() + static_cast<std::ptrdiff_t>(skipped), x.end()}, weight, bias, dy, rows);
  const DeviceCopy there_x(x), there_weight(weight), there_bias(bias), there_around(around), there_dy(typed_dy),
      there_y(y), there_again(again), there_mean(mean), there_rstd(rstd), there_dx(dx), there_d_weight(d_weight),
      there_d_bias(d_bias);
  const dm::LayerNormRows norm{.x = there_x.floats() + skipped,
                                     .weight = there_weight.floats(),
                                     .bias = there_bias.floats(),
                                     .rows = static_cast<std::int64_t>(rows),
                                     .width = static_cast<std::int64_t>(width),
                                     .epsilon = static_cast<float>(kEpsilon)};
  dm::cuda::Device& on = device();
  dm::cuda::layer_norm_rows(on, norm, there_y.data(), kBFloat16, there_mean.floats(), there_rstd.floats());
  dm::cuda::layer_norm_gradient(on, norm,
                                {.dy = there_dy.data(),
                                 .mean = there_mean.floats(),
                                 .rstd = there_rstd.floats(),
                                 .residual = residual ? there_around.floats() : nullptr,
                                 .dx = there_dx.floats() + skipped,
                                 .y = there_again.data(),
                                 .bfloat16 = kBFloat16,
                                 .d_weight = there_d_weight.floats(),
                                 .d_bias = there_d_bias.floats()},
                                on.scratch(dm::cuda::layer_norm_gradient_scratch(on, norm.rows, norm.width)));
  CHECK_EQUAL(on.status().message(), "");
  for (const DeviceCopy* copy : {&there_y, &there_again, &there_dx, &there_d_weight, &there_d_bias}) copy->fetch();
  std::vector<double> with_residual = exact.dx;
  for (std::size_t i = 0; i < size && residual; ++i) with_residual[i] += static_cast<double>(around[i]);
  CHECK_ERROR(relative_error(std::vector<float>(dx.begin() + static_cast<std::ptrdiff_t>(skipped), dx.end()),
                             with_residual), 1e-6);
  CHECK_ERROR(relative_error(d_weight, exact.d_weight), 1e-6);
  CHECK_ERROR(relative_error(d_bias, exact.d_bias), 1e-6);
  for (const std::vector<T>& rows_once : {y, again}) {
    if constexpr (kBFloat16) {
      CHECK_ERROR(relative_error(widened(rows_once), exact.y), 1.0 / 256);
    } else {
      CHECK_ERROR(relative_error(rows_once, exact.y), 1e-6);
    }
  }
}

}  // namespace

TEST("in a branch: rows of either type, the gradient around the norm added, the same rows once more") {
  for (const std::size_t width : {std::size_t{20}, std::size_t{51}, std::size_t{512}, std::size_t{768},
                                  std::size_t{1024}, std::size_t{1280}, std::size_t{1284}}) {
    compare_in_branch<float>(17, width, 0, true);
    compare_in_branch<std::uint16_t>(17, width, 0, true);
  }
  compare_in_branch<std::uint16_t>(51, 768, 0, false);
  compare_in_branch<float>(51, 512, 0, false);
}

TEST("in a branch: rows that do not begin at 16 bytes, of widths that could be read by fours") {
  for (const std::size_t width : {std::size_t{512}, std::size_t{768}, std::size_t{1024}, std::size_t{1280}}) {
    compare_in_branch<float>(5, width, 1, true);
    compare_in_branch<std::uint16_t>(5, width, 1, true);
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
