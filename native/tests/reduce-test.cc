// SPDX-License-Identifier: Apache-2.0
// Reductions against plain loops in float64 for every choice of axes, the corners of the functions,
// and the same bits for any number of threads.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "check.h"
#include "core/thread-pool.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

using Shape = std::vector<std::int64_t>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

/// In [-1, 1], without a pattern.
std::vector<float> noise(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

/// `reduced` has a bit for every axis.
std::vector<float> reduce(const char* op, std::vector<float> x, const Shape& shape,
                          unsigned reduced) {
  std::vector<double> numbers{0, static_cast<double>(shape.size())};
  for (const std::int64_t size : shape) numbers.push_back(static_cast<double>(size));
  std::int64_t outputs = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const bool gone = (reduced >> axis & 1) != 0;
    numbers.push_back(gone ? 1 : 0);
    if (!gone) outputs *= shape[axis];
  }
  std::vector<float> out(static_cast<std::size_t>(outputs));
  CHECK_EQUAL(dm::test::run_op(op, {buffer_of(x), buffer_of(out)}, numbers).message(), "");
  return out;
}

std::vector<double> plain_sum(const std::vector<float>& x, const Shape& shape, unsigned reduced) {
  std::int64_t outputs = 1;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if ((reduced >> axis & 1) == 0) outputs *= shape[axis];
  }
  std::vector<double> sums(static_cast<std::size_t>(outputs));
  for (std::size_t i = 0; i < x.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t at = 0;
    std::int64_t step = 1;
    for (std::size_t axis = shape.size(); axis-- > 0; rest /= shape[axis]) {
      if ((reduced >> axis & 1) != 0) continue;
      at += rest % shape[axis] * step;
      step *= shape[axis];
    }
    sums[static_cast<std::size_t>(at)] += static_cast<double>(x[i]);
  }
  return sums;
}

void check_sum(const Shape& shape, unsigned reduced) {
  const std::vector<float> x = noise(product(shape));
  const std::vector<float> got = reduce("Sum", x, shape, reduced);
  const std::vector<double> expected = plain_sum(x, shape, reduced);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - expected[i]);
    CHECK(error <= 0x1p-23 * std::abs(expected[i]) + 1e-9);
  }
}

}  // namespace

TEST("sums over every choice of axes") {
  for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{1, 7, 1, 9}, Shape{17, 1, 33, 2}}) {
    for (unsigned reduced = 0; reduced < 16; ++reduced) check_sum(shape, reduced);
  }
}

TEST("sums rows and columns that are cut into parts") {
  check_sum({300'001}, 1);
  check_sum({3, 140'001}, 2);
  check_sum({1'001, 700}, 1);
  check_sum({2, 1'001, 700}, 2);
  check_sum({100'003, 3}, 1);
  check_sum({50, 3, 50, 30}, 0b0101);
}

TEST("gives the same bits for any number of threads") {
  const int before = dm::threads();
  for (const char* op : {"Sum", "Mean", "Prod"}) {
    for (const unsigned reduced : {1u, 2u, 3u}) {
      const std::vector<float> x = noise(1'001 * 703);
      dm::set_threads(1);
      const std::vector<float> one = reduce(op, x, {1'001, 703}, reduced);
      dm::set_threads(4);
      const std::vector<float> four = reduce(op, x, {1'001, 703}, reduced);
      CHECK(std::memcmp(one.data(), four.data(), one.size() * sizeof(float)) == 0);
    }
  }
  dm::set_threads(before);
}

TEST("finds NaN anywhere in a maximum and a minimum") {
  for (const char* op : {"Max", "Min"}) {
    for (const std::size_t place : {0, 1, 40, 63, 64, 150, 199}) {
      std::vector<float> x = noise(200);
      x[place] = kNan;
      CHECK(std::isnan(reduce(op, x, {200}, 1)[0]));
      CHECK(std::isnan(reduce(op, x, {200, 1, 1}, 0b101)[0]));
      CHECK(std::isnan(reduce(op, x, {100, 2}, 1)[place % 2]));
      CHECK(!std::isnan(reduce(op, x, {100, 2}, 1)[1 - place % 2]));
    }
  }
  CHECK_EQUAL(reduce("Max", {-INFINITY, -3}, {2}, 1)[0], -3.0f);
  CHECK_EQUAL(reduce("Min", {INFINITY, INFINITY}, {2}, 1)[0], INFINITY);
}

TEST("reduces nothing to what tfjs says") {
  CHECK_EQUAL(reduce("Sum", {}, {2, 0}, 2)[1], 0.0f);
  CHECK_EQUAL(reduce("Mean", {}, {2, 0}, 2)[1], 0.0f);
  CHECK_EQUAL(reduce("Prod", {}, {2, 0}, 2)[1], 1.0f);
  CHECK(std::isnan(reduce("Max", {}, {2, 0}, 2)[1]));
  CHECK(reduce("Sum", {}, {2, 0}, 1).empty());
}

TEST("keeps large terms that cancel") {
  CHECK_EQUAL(reduce("Sum", {3e38f, 3e38f, -3e38f, 1}, {4}, 1)[0], 3e38f);
  CHECK_EQUAL(reduce("Prod", {1e30f, 1e30f, 1e-30f}, {3}, 1)[0], 1e30f);
}

TEST("places the first of equals, and passes over NaN unless it comes first") {
  const auto place = [](const char* op, std::vector<float> x) {
    std::vector<std::int32_t> out{-1};
    const auto count = static_cast<double>(x.size());
    CHECK(dm::test::run_op(op, {buffer_of(x), buffer_of(out)}, {0, 1, count, 1}).ok());
    return out[0];
  };
  CHECK_EQUAL(place("ArgMax", {1, 3, 3, 2}), 1);
  CHECK_EQUAL(place("ArgMin", {1, kNan, 0, 0}), 2);
  CHECK_EQUAL(place("ArgMax", {kNan, 3}), 0);
  std::vector<float> x = noise(500);
  x[321] = 2;
  CHECK_EQUAL(place("ArgMax", x), 321);
}

TEST("makes rows of softmax that sum to one, and their gradient") {
  const std::vector<float> logits = noise(3 * 700);
  std::vector<float> x = logits;
  std::vector<float> y(x.size());
  CHECK(dm::test::run_op("Softmax", {buffer_of(x), buffer_of(y)}, {3, 700}).ok());
  for (std::size_t row = 0; row < 3; ++row) {
    const auto begin = y.begin() + static_cast<std::ptrdiff_t>(row * 700);
    CHECK(std::abs(std::accumulate(begin, begin + 700, 0.0) - 1) < 1e-6);
  }
  CHECK(std::abs(y[1] / y[0] / std::exp(logits[1] - logits[0]) - 1) < 1e-6f);
  // The gradient of a constant is zero.
  std::vector<float> dy(x.size(), 3.0f);
  std::vector<float> dx(x.size());
  CHECK(dm::test::run_op("DmSoftmaxGrad", {buffer_of(dy), buffer_of(y), buffer_of(dx)}, {3, 700})
            .ok());
  for (const float value : dx) CHECK(std::abs(value) < 1e-8f);
}

TEST("refuses what it cannot do") {
  std::vector<float> x(4);
  std::vector<float> y(1);
  CHECK_EQUAL(dm::test::run_op("Sum", {buffer_of(x), buffer_of(y)}, {2, 1, 4, 1}).message(),
              "Sum: expected a dtype of this op, got 2");
  CHECK_EQUAL(dm::test::run_op("Sum", {buffer_of(x), buffer_of(y)}, {0, 1, 5, 1}).message(),
              "Sum: expected buffer 0 of at least 5 elements of 4 bytes, got 16 bytes");
  CHECK_EQUAL(dm::test::run_op("Sum", {buffer_of(x), buffer_of(y)}, {0, 9}).message(),
              "Sum: expected a rank of at most 8, got 9");
}
