// SPDX-License-Identifier: Apache-2.0
// Convolutions against the sums of their definition, at sizes of several strips of patches; faults
// in their numbers.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "core/thread-pool.h"
#include "run-op.h"

using dm::test::buffer_of;
using dm::test::run_op;

namespace {

/// Along rows or columns: size, windows, stride, taps, dilation, padding before.
struct Side {
  int size, windows, stride, taps, dilation, before;

  int place(int window, int tap) const { return window * stride - before + tap * dilation; }
};

struct Sizes {
  int batch, from, to;
  Side rows, columns;

  std::vector<double> numbers() const {
    std::vector<double> all{double(batch), double(from), double(to), 1, 1, 1, 1, 1, 0};
    for (const Side& side : {rows, columns}) {
      for (const int value :
           {side.size, side.windows, side.stride, side.taps, side.dilation, side.before}) {
        all.push_back(value);
      }
    }
    return all;
  }
  std::size_t x_count() const { return std::size_t(batch * rows.size * columns.size * from); }
  std::size_t y_count() const { return std::size_t(batch * rows.windows * columns.windows * to); }
  std::size_t filter_count() const { return std::size_t(rows.taps * columns.taps * from * to); }
};

/// Calls term(place in x, place in the filter, place in y) for every product of the definition.
template <typename Term>
void for_each_term(const Sizes& s, const Term& term) {
  for (int b = 0; b < s.batch; ++b) {
    for (int i = 0; i < s.rows.windows * s.columns.windows * s.rows.taps * s.columns.taps; ++i) {
      const int taps = s.rows.taps * s.columns.taps;
      const int q = i / taps % s.columns.windows;
      const int p = i / taps / s.columns.windows;
      const int tap = i % taps;
      const int r = s.rows.place(p, tap / s.columns.taps);
      const int c = s.columns.place(q, tap % s.columns.taps);
      if (r < 0 || r >= s.rows.size || c < 0 || c >= s.columns.size) continue;
      for (int from = 0; from < s.from; ++from) {
        for (int to = 0; to < s.to; ++to) {
          term(std::size_t(((b * s.rows.size + r) * s.columns.size + c) * s.from + from),
               std::size_t((tap * s.from + from) * s.to + to),
               std::size_t(((b * s.rows.windows + p) * s.columns.windows + q) * s.to + to));
        }
      }
    }
  }
}

std::vector<float> wave(std::size_t count, double step) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = float(std::sin(1 + step * double(i)));
  return values;
}

void check_close(const std::vector<float>& got, const std::vector<double>& expected) {
  double error = 0;
  double power = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - expected[i]) * (got[i] - expected[i]);
    power += expected[i] * expected[i];
  }
  CHECK(error <= 1e-10 * power);
}

const std::vector<Sizes> kSizes{
    {2, 3, 5, {7, 4, 2, 3, 1, 1}, {6, 6, 1, 3, 1, 1}},
    {1, 2, 3, {9, 5, 1, 3, 2, 0}, {8, 4, 1, 3, 2, 0}},
    {1, 4, 6, {5, 5, 1, 1, 1, 0}, {4, 4, 1, 1, 1, 0}},
    // Several strips, and the filter's gradient in parts.
    {2, 32, 8, {45, 45, 1, 3, 1, 1}, {44, 44, 1, 3, 1, 1}},
    {1, 3, 4, {300, 150, 2, 9, 1, 4}, {90, 90, 1, 9, 1, 4}},
};

std::string message(const std::vector<double>& numbers) {
  std::vector<float> x(4);
  return run_op("DmConvInputGrad", {buffer_of(x), buffer_of(x), buffer_of(x)}, numbers).message();
}

}  // namespace

TEST("convolves, with a bias, and gives the gradients of x and of the filter") {
  for (const Sizes& s : kSizes) {
    auto x = wave(s.x_count(), 0.7);
    auto filter = wave(s.filter_count(), 1.3);
    auto dy = wave(s.y_count(), 0.9);
    auto bias = wave(std::size_t(s.to), 0.4);
    std::vector<double> y(s.y_count()), dx(s.x_count()), dw(s.filter_count());
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = bias[i % std::size_t(s.to)];
    for_each_term(s, [&](std::size_t i, std::size_t j, std::size_t k) {
      y[k] += double(x[i]) * double(filter[j]);
      dx[i] += double(dy[k]) * double(filter[j]);
      dw[j] += double(dy[k]) * double(x[i]);
    });
    auto numbers = s.numbers();
    std::vector<double> biased{1};
    biased.insert(biased.end(), numbers.begin(), numbers.end());
    std::vector<std::vector<float>> first;
    for (const int count : {1, 4}) {
      dm::set_threads(count);
      std::vector<float> got_y(y.size(), 9), got_dx(dx.size(), 9), got_dw(dw.size(), 9);
      CHECK(run_op("DmConv", {buffer_of(x), buffer_of(filter), buffer_of(bias), buffer_of(got_y)},
                   biased)
                .ok());
      CHECK(
          run_op("DmConvInputGrad", {buffer_of(dy), buffer_of(filter), buffer_of(got_dx)}, numbers)
              .ok());
      CHECK(run_op("DmConvFilterGrad", {buffer_of(x), buffer_of(dy), buffer_of(got_dw)}, numbers)
                .ok());
      check_close(got_y, y);
      check_close(got_dx, dx);
      check_close(got_dw, dw);
      if (count == 1) {
        first = {got_y, got_dx, got_dw};
      } else {
        CHECK((first == std::vector<std::vector<float>>{got_y, got_dx, got_dw}));
      }
    }
  }
}

TEST("convolves channel by channel, and gives the gradients") {
  const std::vector<Sizes> sizes{
      {2, 3, 3, {7, 4, 2, 3, 1, 1}, {6, 6, 1, 3, 1, 1}},
      {1, 2, 6, {9, 5, 1, 3, 2, 0}, {40, 40, 1, 4, 1, 2}},
      {2, 33, 33, {8, 8, 1, 2, 1, 1}, {50, 48, 1, 3, 1, 0}},
      {1, 600, 600, {4, 4, 1, 3, 1, 1}, {5, 3, 2, 3, 1, 1}},
      {1, 2, 4, {3, 1, 1, 3, 1, 0}, {2, 6, 1, 1, 1, 2}},
  };
  for (const Sizes& s : sizes) {
    const auto n = std::size_t(s.to);
    const auto c = std::size_t(s.from);
    auto x = wave(s.x_count(), 0.7);
    auto filter = wave(s.filter_count() / c, 1.3);
    auto dy = wave(s.y_count(), 0.9);
    std::vector<double> y(s.y_count()), dx(s.x_count()), dw(filter.size());
    for_each_term(s, [&](std::size_t i, std::size_t j, std::size_t k) {
      if (j % n / (n / c) != j / n % c) return;
      const std::size_t own = j / n / c * n + j % n;
      y[k] += double(x[i]) * double(filter[own]);
      dx[i] += double(dy[k]) * double(filter[own]);
      dw[own] += double(dy[k]) * double(x[i]);
    });
    for (const int count : {1, 4}) {
      dm::set_threads(count);
      std::vector<float> got_y(y.size(), 9), got_dx(dx.size(), 9), got_dw(dw.size(), 9);
      const auto run = [&](const char* op, std::vector<float>& a, std::vector<float>& b,
                           std::vector<float>& out) {
        return run_op(op, {buffer_of(a), buffer_of(b), buffer_of(out)}, s.numbers()).ok();
      };
      CHECK(run("DmDepthwiseConv", x, filter, got_y));
      CHECK(run("DmDepthwiseConvInputGrad", dy, filter, got_dx));
      CHECK(run("DmDepthwiseConvFilterGrad", x, dy, got_dw));
      check_close(got_y, y);
      check_close(got_dx, dx);
      check_close(got_dw, dw);
    }
  }
}

TEST("refuses what would read outside") {
  const std::vector<double> sides{1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0};
  const auto with = [&](std::vector<double> start, std::vector<double> columns) {
    start.insert(start.end(), sides.begin(), sides.end());
    start.insert(start.end(), columns.begin(), columns.end());
    return message(start);
  };
  CHECK_EQUAL(with({1, 1, 1}, {4, 4, 0, 1, 1, 0}),
              "DmConvInputGrad: expected a stride and a dilation of at least 1, got 0");
  CHECK_EQUAL(with({1, 1, 1}, {4, 4, 1, 1, 0, 0}),
              "DmConvInputGrad: expected a stride and a dilation of at least 1, got 0");
  CHECK_EQUAL(with({1, 1, 1}, {4, 4, 1, 1, 1, -3e9}),
              "DmConvInputGrad: expected sides of less than 2^31 elements, got 3000000000");
  CHECK(!with({1, 1, 1}, {5, 4, 1, 1, 1, 0}).empty());
  CHECK(with({1, 1, 1}, {4, 4, 1, 1, 1, 0}).empty());
}

TEST("refuses depthwise channels that are no multiple") {
  std::vector<float> x(8);
  const std::vector<double> numbers{1, 2, 3, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0};
  CHECK_EQUAL(
      run_op("DmDepthwiseConv", {buffer_of(x), buffer_of(x), buffer_of(x)}, numbers).message(),
      "DmDepthwiseConv: expected a multiple of 2 channels, got 3");
}
