// SPDX-License-Identifier: Apache-2.0
// The masked loss on the device against float64.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

struct Case {
  std::size_t batch, tokens, masked, values;
  bool normalize;
};

struct Exact {
  double loss = 0;
  std::vector<double> difference;
};

Exact reference(const Case& c, const std::vector<float>& prediction,
                const std::vector<float>& patches, const std::vector<std::int32_t>& indices) {
  Exact r;
  for (std::size_t row = 0; row < c.batch * c.masked; ++row) {
    const std::size_t token = row / c.masked * c.tokens + static_cast<std::size_t>(indices[row]);
    const auto target = [&](std::size_t i) {
      return static_cast<double>(patches[token * c.values + i]);
    };
    const auto n = static_cast<double>(c.values);
    double mean = 0;
    double variance = 0;
    for (std::size_t i = 0; i < c.values; ++i) mean += target(i) / n;
    for (std::size_t i = 0; i < c.values; ++i) {
      variance += (target(i) - mean) * (target(i) - mean) / (n - 1);
    }
    const double rstd = 1 / std::sqrt(variance + 1e-6);
    for (std::size_t i = 0; i < c.values; ++i) {
      const double wanted = c.normalize ? (target(i) - mean) * rstd : target(i);
      r.difference.push_back(static_cast<double>(prediction[row * c.values + i]) - wanted);
      r.loss += r.difference.back() * r.difference.back();
    }
  }
  r.loss /= static_cast<double>(r.difference.size());
  return r;
}

void compare(const Case& c) {
  const std::size_t all = c.batch * c.masked * c.values;
  std::vector<float> prediction = noise(all, 1);
  std::vector<float> patches = noise(c.batch * c.tokens * c.values, 2);
  std::vector<std::int32_t> indices(c.batch * c.masked);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    indices[i] = static_cast<std::int32_t>(i * 5 % c.tokens);
  }
  std::vector<float> loss = unwritten(1);
  std::vector<float> difference = unwritten(all);
  CHECK_EQUAL(run_device_op("DmMaskedPatchLoss",
                            {buffer_of(prediction), buffer_of(patches), buffer_of(indices),
                             buffer_of(loss), buffer_of(difference)},
                            {static_cast<double>(c.batch), static_cast<double>(c.tokens),
                             static_cast<double>(c.masked), static_cast<double>(c.values),
                             c.normalize ? 1.0 : 0.0}),
              "");
  const Exact exact = reference(c, prediction, patches, indices);
  CHECK_ERROR(std::abs(static_cast<double>(loss[0]) / exact.loss - 1), 1e-6);
  CHECK_ERROR(relative_error(difference, exact.difference), 1e-6);
  std::vector<float> dy{-3};
  std::vector<float> dx = unwritten(all);
  CHECK_EQUAL(run_device_op("DmMaskedPatchLossGrad",
                            {buffer_of(dy), buffer_of(difference), buffer_of(dx)},
                            {static_cast<double>(all)}),
              "");
  std::vector<double> slope = exact.difference;
  for (double& value : slope) value *= -6 / static_cast<double>(all);
  CHECK_ERROR(relative_error(dx, slope), 1e-6);
}

}  // namespace

TEST("is within 1e-6 of float64 at every number of values that a lane holds, by fours and not") {
  for (const std::size_t values :
       {std::size_t{3}, std::size_t{17}, std::size_t{256}, std::size_t{255}, std::size_t{768},
        std::size_t{700}, std::size_t{1536}, std::size_t{1533}, std::size_t{1540},
        std::size_t{1601}}) {
    compare({2, 7, 3, values, true});
    compare({1, 3, 2, values, false});
  }
}

TEST("is within 1e-6 of float64 at patch counts around a block") {
  for (const std::size_t masked : {std::size_t{1}, std::size_t{4}, std::size_t{51}, std::size_t{313}}) {
    compare({1, 400, masked, 16, true});
  }
}

TEST("says NaN for a patch outside") {
  std::vector<float> prediction = noise(8, 1);
  std::vector<float> patches = noise(8, 2);
  std::vector<std::int32_t> indices{0, 2};
  std::vector<float> loss{0};
  std::vector<float> difference = unwritten(8);
  CHECK_EQUAL(run_device_op("DmMaskedPatchLoss",
                            {buffer_of(prediction), buffer_of(patches), buffer_of(indices),
                             buffer_of(loss), buffer_of(difference)},
                            {1, 2, 2, 4, 0}),
              "");
  CHECK(std::isnan(loss[0]));
  CHECK(!std::isnan(difference[0]));
  CHECK(std::isnan(difference[7]));
}

TEST("says NaN for no patches, and which buffer is too short") {
  std::vector<float> none;
  std::vector<float> loss{0};
  CHECK_EQUAL(run_device_op("DmMaskedPatchLoss",
                            {buffer_of(none), buffer_of(none), buffer_of(none), buffer_of(loss),
                             buffer_of(none)},
                            {0, 0, 0, 4, 1}),
              "");
  CHECK(std::isnan(loss[0]));
  CHECK_EQUAL(run_device_op("DmMaskedPatchLoss",
                            {buffer_of(none), buffer_of(none), buffer_of(none), buffer_of(loss),
                             buffer_of(none)},
                            {1, 1, 1, 4, 1}),
              "DmMaskedPatchLoss: expected buffer 0 of at least 4 elements of 4 bytes, got 0 bytes");
}
