// SPDX-License-Identifier: Apache-2.0
// The contrastive loss on the device against float64.
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

constexpr double kTemperature = 0.1;

struct Unit {
  std::vector<double> rows, inverse;
};

Unit unit_of(const std::vector<float>& x, std::size_t width) {
  Unit unit{std::vector<double>(x.begin(), x.end()), {}};
  for (std::size_t begin = 0; begin < x.size(); begin += width) {
    double squares = 0;
    for (std::size_t c = 0; c < width; ++c) squares += unit.rows[begin + c] * unit.rows[begin + c];
    unit.inverse.push_back(1 / std::max(std::sqrt(squares), 1e-12));
    for (std::size_t c = 0; c < width; ++c) unit.rows[begin + c] *= unit.inverse.back();
  }
  return unit;
}

struct Exact {
  double loss = 0;
  std::vector<double> d_queries, d_keys;
};

/// Of gradients to unit rows, the gradients to the rows.
std::vector<double> across(const Unit& unit, const std::vector<double>& d_unit, std::size_t width) {
  std::vector<double> result(d_unit.size());
  for (std::size_t i = 0; i < unit.inverse.size(); ++i) {
    double along = 0;
    for (std::size_t c = 0; c < width; ++c) along += d_unit[i * width + c] * unit.rows[i * width + c];
    for (std::size_t c = 0; c < width; ++c) {
      const std::size_t at = i * width + c;
      result[at] = unit.inverse[i] * (d_unit[at] - along * unit.rows[at]);
    }
  }
  return result;
}

Exact reference(const std::vector<float>& queries, const std::vector<float>& keys,
                std::size_t width, double dy) {
  const Unit q = unit_of(queries, width);
  const Unit k = unit_of(keys, width);
  const std::size_t batch = queries.size() / width;
  const auto n = static_cast<double>(batch);
  Exact r;
  std::vector<double> d_q(queries.size());
  std::vector<double> d_k(keys.size());
  for (std::size_t i = 0; i < batch; ++i) {
    std::vector<double> e(batch);
    double sum = 0;
    for (std::size_t j = 0; j < batch; ++j) {
      double dot = 0;
      for (std::size_t c = 0; c < width; ++c) dot += q.rows[i * width + c] * k.rows[j * width + c];
      e[j] = std::exp(dot / kTemperature);
      sum += e[j];
    }
    r.loss -= std::log(e[i] / sum) / n;
    for (std::size_t j = 0; j < batch; ++j) {
      const double weight = (e[j] / sum - (i == j ? 1.0 : 0.0)) * dy / (kTemperature * n);
      for (std::size_t c = 0; c < width; ++c) {
        d_q[i * width + c] += weight * k.rows[j * width + c];
        d_k[j * width + c] += weight * q.rows[i * width + c];
      }
    }
  }
  r.d_queries = across(q, d_q, width);
  r.d_keys = across(k, d_k, width);
  return r;
}

void compare(std::size_t batch, std::size_t width) {
  std::vector<float> queries = noise(batch * width, 1);
  std::vector<float> keys = noise(batch * width, 2);
  std::vector<float> dy{0.7f};
  std::vector<float> loss = unwritten(1);
  std::vector<float> d_queries = unwritten(batch * width);
  std::vector<float> d_keys = unwritten(batch * width);
  const std::vector<double> numbers{static_cast<double>(batch), static_cast<double>(width),
                                    kTemperature};
  CHECK_EQUAL(run_device_op("DmInfoNce", {buffer_of(queries), buffer_of(keys), buffer_of(loss)},
                            numbers),
              "");
  CHECK_EQUAL(run_device_op("DmInfoNceGrad",
                            {buffer_of(dy), buffer_of(queries), buffer_of(keys),
                             buffer_of(d_queries), buffer_of(d_keys)},
                            numbers),
              "");
  const Exact exact = reference(queries, keys, width, static_cast<double>(dy[0]));
  CHECK_ERROR(std::abs(static_cast<double>(loss[0]) - exact.loss), 2e-6);
  if (batch == 1) return;  // gradients are 0
  CHECK_ERROR(relative_error(d_queries, exact.d_queries), 4e-6);
  CHECK_ERROR(relative_error(d_keys, exact.d_keys), 4e-6);
}

}  // namespace

TEST("is within 4e-6 of float64 at batches and widths around tiles") {
  compare(1, 4);
  compare(2, 3);
  compare(15, 33);
  compare(32, 32);
  compare(33, 51);
  compare(65, 16);
}

TEST("leaves a row of zeros without direction") {
  std::vector<float> queries(2 * 4, 0.0f);
  std::vector<float> keys = noise(2 * 4, 2);
  std::vector<float> loss = unwritten(1);
  CHECK_EQUAL(run_device_op("DmInfoNce", {buffer_of(queries), buffer_of(keys), buffer_of(loss)},
                            {2, 4, kTemperature}),
              "");
  CHECK_ERROR(std::abs(static_cast<double>(loss[0]) - std::log(2.0)), 1e-6);  // two equal scores
}

TEST("says which buffer is too short") {
  std::vector<float> x = noise(3, 1);
  CHECK_EQUAL(run_device_op("DmInfoNce", {buffer_of(x), buffer_of(x), buffer_of(x)}, {2, 2, 1}),
              "DmInfoNce: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
}
