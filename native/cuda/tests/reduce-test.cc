// SPDX-License-Identifier: Apache-2.0
// Reductions on the device against float64.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;

namespace {

struct Case {
  std::vector<std::size_t> shape;
  std::vector<bool> reduced;

  std::size_t count(bool only_kept) const {
    std::size_t result = 1;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (!only_kept || !reduced[i]) result *= shape[i];
    }
    return result;
  }
  /// The output that element `index` belongs to.
  std::size_t output(std::size_t index) const {
    std::size_t result = 0;
    std::size_t step = 1;
    for (std::size_t axis = shape.size(); axis-- > 0; index /= shape[axis]) {
      if (reduced[axis]) continue;
      result += index % shape[axis] * step;
      step *= shape[axis];
    }
    return result;
  }
};

template <typename T>
std::vector<T> run(const char* name, const Case& c, std::vector<T> x) {
  constexpr double kDtype = sizeof(T) == 1 ? 2 : (std::is_integral_v<T> ? 1 : 0);
  std::vector<double> numbers{kDtype, static_cast<double>(c.shape.size())};
  for (const std::size_t size : c.shape) numbers.push_back(static_cast<double>(size));
  for (const bool reduced : c.reduced) numbers.push_back(reduced ? 1 : 0);
  std::vector<T> y(c.count(true), T{77});
  CHECK_EQUAL(run_device_op(name, {buffer_of(x), buffer_of(y)}, numbers), "");
  return y;
}

void compare(const Case& c) {
  const std::vector<float> x = noise(c.count(false), 3);
  const std::size_t outputs = c.count(true);
  std::vector<double> sum(outputs, 0);
  std::vector<double> product(outputs, 1);
  std::vector<float> most(outputs, -2);
  std::vector<float> least(outputs, 2);
  std::vector<float> near_one = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t at = c.output(i);
    near_one[i] = 1 + x[i] / 64;
    sum[at] += static_cast<double>(x[i]);
    product[at] *= static_cast<double>(near_one[i]);
    most[at] = std::max(most[at], x[i]);
    least[at] = std::min(least[at], x[i]);
  }
  const std::vector<float> sums = run("Sum", c, x);
  double worst = 0;
  for (std::size_t i = 0; i < outputs; ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(sums[i]) - sum[i]) /
                                std::max(1.0, std::abs(sum[i])));
  }
  CHECK_ERROR(worst, 1e-7);
  std::vector<double> mean = sum;
  for (double& value : mean) value /= static_cast<double>(x.size() / outputs);
  CHECK_ERROR(relative_error(run("Mean", c, x), mean), 1e-6);
  CHECK_ERROR(relative_error(run("Prod", c, near_one), product), 1e-6);
  CHECK(run("Max", c, x) == most);
  CHECK(run("Min", c, x) == least);
}

}  // namespace

TEST("reduces any axes, in one part and in many") {
  compare({{1}, {true}});
  compare({{9001}, {true}});
  compare({{7, 51}, {false, true}});
  compare({{51, 17}, {true, false}});
  compare({{3, 700, 5}, {false, true, false}});
  compare({{4, 2, 35, 40}, {true, false, true, true}});
  compare({{2, 5, 3, 7}, {true, false, true, false}});
}

TEST("folds integers exactly, and wraps sums around") {
  const Case all{{5}, {true}};
  const std::vector<std::int32_t> x{2147483647, 1, -3, 2, 2};
  CHECK_EQUAL(run("Sum", all, x)[0], -2147483647);
  CHECK_EQUAL(run("Max", all, x)[0], 2147483647);
  CHECK_EQUAL(run("Min", all, x)[0], -3);
  CHECK_EQUAL(run<std::int32_t>("Prod", all, {3, -2, 5, 1, 7})[0], -210);
  const Case rows{{2, 3}, {false, true}};
  CHECK((run<std::uint8_t>("Max", rows, {0, 1, 0, 0, 0, 0}) == std::vector<std::uint8_t>{1, 0}));
  CHECK((run<std::uint8_t>("Min", rows, {1, 1, 1, 1, 0, 1}) == std::vector<std::uint8_t>{1, 0}));
}

TEST("says NaN where an element is, and for the extremes of nothing") {
  std::vector<float> x = noise(100, 1);
  x[63] = std::numeric_limits<float>::quiet_NaN();
  for (const char* name : {"Sum", "Max", "Min", "Mean", "Prod"}) {
    CHECK(std::isnan(run(name, {{100}, {true}}, x)[0]));
    CHECK(!std::isnan(run(name, {{4, 25}, {false, true}}, x)[0]));
  }
  const Case none{{3, 0}, {false, true}};
  CHECK((run<float>("Sum", none, {}) == std::vector<float>(3, 0)));
  CHECK((run<float>("Prod", none, {}) == std::vector<float>(3, 1)));
  CHECK(std::isnan(run<float>("Max", none, {})[2]));
  CHECK((run<std::int32_t>("Min", none, {}) == std::vector<std::int32_t>(3, 0)));
  // No rows, of which nothing is left, and rows of a reduced axis that has none.
  CHECK((run<float>("Mean", {{0, 3}, {false, true}}, {}).empty()));
  CHECK((run<float>("Mean", {{0, 3}, {true, false}}, {}) == std::vector<float>(3, 0)));
}

TEST("refuses dtypes that an op does not take") {
  std::vector<std::int32_t> x(1);
  CHECK_EQUAL(run_device_op("Mean", {buffer_of(x), buffer_of(x)}, {1, 1, 1, 1}),
              "Mean: expected a dtype of this op, got 1");
}
