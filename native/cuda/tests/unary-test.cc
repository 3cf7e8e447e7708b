// SPDX-License-Identifier: Apache-2.0
// Elementwise functions on the device against float64.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T, typename R = T>
std::vector<R> run(const char* name, std::vector<T> x, std::vector<double> attributes = {}) {
  std::vector<R> y(x.size(), R{77});
  attributes.insert(attributes.begin(), static_cast<double>(x.size()));
  CHECK_EQUAL(run_device_op(name, {buffer_of(x), buffer_of(y)}, attributes), "");
  return y;
}

/// The largest error in units of the last place over -range..range, or 0..range.
double worst(const char* name, double (*exact)(double), float range, bool positive = false,
             std::vector<double> attributes = {}) {
  std::vector<float> x = noise(517, 5);
  for (float& value : x) value = (positive ? std::abs(value) : value) * range;
  const std::vector<float> y = run(name, x, std::move(attributes));
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double wanted = exact(static_cast<double>(x[i]));
    const auto near = static_cast<float>(std::abs(wanted));
    const auto ulp = static_cast<double>(std::nextafter(near, kInfinity) - near);
    const double off = std::abs(static_cast<double>(y[i]) - wanted) / ulp;
    most = std::max(most, std::isnan(off) ? 1e30 : off);
  }
  return most;
}

}  // namespace

TEST("is within 4 units in the last place of float64 where functions are smooth") {
  CHECK_ERROR(worst("Exp", [](double x) { return std::exp(x); }, 80), 4.0);
  CHECK_ERROR(worst("Expm1", [](double x) { return std::expm1(x); }, 20), 4.0);
  CHECK_ERROR(worst("Log", [](double x) { return std::log(x); }, 50, true), 4.0);
  CHECK_ERROR(worst("Log1p", [](double x) { return std::log1p(x); }, 50, true), 4.0);
  CHECK_ERROR(worst("Tanh", [](double x) { return std::tanh(x); }, 5), 4.0);
  CHECK_ERROR(worst("Erf", [](double x) { return std::erf(x); }, 3), 4.0);
  CHECK_ERROR(worst("Sin", [](double x) { return std::sin(x); }, 100), 4.0);
  CHECK_ERROR(worst("Cos", [](double x) { return std::cos(x); }, 100), 4.0);
  CHECK_ERROR(worst("Sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }, 20), 4.0);
  CHECK_ERROR(worst("Softplus", [](double x) { return std::log1p(std::exp(x)); }, 20), 4.0);
  CHECK_ERROR(worst("Elu", [](double x) { return x >= 0 ? x : std::expm1(x); }, 5), 4.0);
  CHECK_ERROR(worst("Selu",
                    [](double x) {
                      return x >= 0 ? 1.05070098735548 * x : 1.75809934084737 * std::expm1(x);
                    },
                    5),
              4.0);
}

TEST("is exact, or rounded once, where a float is enough") {
  CHECK_ERROR(worst("Abs", [](double x) { return std::abs(x); }, 9), 0.0);
  CHECK_ERROR(worst("Neg", [](double x) { return -x; }, 9), 0.0);
  CHECK_ERROR(worst("Ceil", [](double x) { return std::ceil(x); }, 9), 0.0);
  CHECK_ERROR(worst("Floor", [](double x) { return std::floor(x); }, 9), 0.0);
  CHECK_ERROR(worst("Square", [](double x) { return x * x; }, 9), 0.5);
  CHECK_ERROR(worst("Sqrt", [](double x) { return std::sqrt(x); }, 9, true), 0.5);
  CHECK_ERROR(worst("Rsqrt", [](double x) { return 1 / std::sqrt(x); }, 9, true), 2.0);
  CHECK_ERROR(worst("Reciprocal", [](double x) { return 1 / x; }, 9), 0.5);
  CHECK_ERROR(worst("Relu", [](double x) { return std::max(x, 0.0); }, 9), 0.0);
  CHECK_ERROR(worst("Relu6", [](double x) { return std::clamp(x, 0.0, 6.0); }, 9), 0.0);
  CHECK_ERROR(worst("LeakyRelu", [](double x) { return x < 0 ? 0.25 * x : x; }, 9, false, {0.25}),
              0.0);
  CHECK_ERROR(worst("ClipByValue", [](double x) { return std::clamp(x, -1.0, 2.0); }, 9, false,
                    {-1, 2}),
              0.0);
}

TEST("treats halves, zeros, infinities and NaN as the CPU ops do") {
  CHECK((run<float>("Round", {0.5f, 1.5f, 2.5f, -1.5f}) == std::vector<float>{0, 2, 2, -2}));
  CHECK((run<float>("Sign", {-3, 0, 2, kNan}) == std::vector<float>{-1, 0, 1, 0}));
  CHECK((run<float>("Log", {0, kInfinity}) == std::vector<float>{-kInfinity, kInfinity}));
  CHECK(std::isnan(run<float>("Log", {-1})[0]));
  CHECK(std::isnan(run<float>("Relu", {kNan})[0]));
  CHECK(std::isnan(run<float>("Relu6", {kNan})[0]));
  const std::vector<float> step = run<float>("Step", {-1, 0, 3, kNan}, {0.5});
  CHECK(step[0] == 0.5f && step[1] == 0.5f && step[2] == 1.0f && std::isnan(step[3]));
  const std::vector<float> ends{1, kInfinity, -kInfinity, kNan, 0};
  CHECK((run<float, std::uint8_t>("IsFinite", ends) == std::vector<std::uint8_t>{1, 0, 0, 0, 1}));
  CHECK((run<float, std::uint8_t>("IsInf", ends) == std::vector<std::uint8_t>{0, 1, 1, 0, 0}));
  CHECK((run<float, std::uint8_t>("IsNan", ends) == std::vector<std::uint8_t>{0, 0, 0, 1, 0}));
}

TEST("wraps integers around, and negates bools") {
  using Ints = std::vector<std::int32_t>;
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  CHECK((run<std::int32_t>("Neg.int32", {3, kLeast}) == Ints{-3, kLeast}));
  CHECK((run<std::int32_t>("Abs.int32", {-3, kLeast}) == Ints{3, kLeast}));
  CHECK((run<std::int32_t>("Square.int32", {-3, 65536, 65537}) == Ints{9, 0, 131073}));
  CHECK((run<std::int32_t>("Relu.int32", {-3, 5}) == Ints{0, 5}));
  CHECK((run<std::int32_t>("Relu6.int32", {-3, 5, 7}) == Ints{0, 5, 6}));
  CHECK((run<std::int32_t>("Sign.int32", {-3, 0, 7}) == Ints{-1, 0, 1}));
  CHECK((run<std::int32_t>("ClipByValue.int32", {-3, 0, 7}, {-1, 2}) == Ints{-1, 0, 2}));
  CHECK((run<std::uint8_t>("LogicalNot", {0, 1, 1, 0, 0}) ==
         std::vector<std::uint8_t>{1, 0, 0, 1, 1}));
}

TEST("says which attribute and which buffer is wrong") {
  std::vector<std::int32_t> x{1};
  CHECK_EQUAL(run_device_op("ClipByValue.int32", {buffer_of(x), buffer_of(x)}, {1, 0, 4294967296.0}),
              "unary: expected an attribute of the dtype, got 4294967296");
  CHECK_EQUAL(run_device_op("Exp", {buffer_of(x), buffer_of(x)}, {2}),
              "unary: expected buffer 0 of at least 2 elements of 4 bytes, got 4 bytes");
}
