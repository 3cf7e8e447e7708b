// SPDX-License-Identifier: Apache-2.0
// Elementwise functions against float64, over a sample of all finite float32 and at the corners.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

// A prime stride through the bit patterns: 143,000 numbers of either sign and every exponent.
constexpr std::uint32_t kStride = 30'011;

std::vector<float> sample() {
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits <= 0xFFFFFFFFu; bits += kStride) {
    const auto word = static_cast<std::uint32_t>(bits);
    float value;
    std::memcpy(&value, &word, sizeof(value));
    if (std::isfinite(value)) values.push_back(value);
  }
  return values;
}

/// Distance in units of the last place of the expected value; subnormal results count in the
/// smallest unit.
double error_in_ulp(float got, double expected) {
  const auto rounded = static_cast<float>(expected);
  if (std::isinf(rounded) || std::isnan(expected)) {
    return got == rounded || (std::isnan(got) && std::isnan(expected)) ? 0 : INFINITY;
  }
  const int exponent = rounded == 0 ? -126 : std::max(std::ilogb(rounded), -126);
  return std::abs(static_cast<double>(got) - expected) / std::ldexp(1.0, exponent - 23);
}

std::vector<float> run(const char* op, std::vector<float> x) {
  std::vector<float> y(x.size());
  CHECK_EQUAL(
      dm::test::run_op(op, {buffer_of(x), buffer_of(y)}, {static_cast<double>(x.size())}).message(),
      "");
  return y;
}

template <typename Exact>
void check_error(const char* op, double most_ulp, const Exact& exact) {
  const std::vector<float> x = sample();
  const std::vector<float> y = run(op, x);
  double worst = 0;
  float where = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = error_in_ulp(y[i], exact(static_cast<double>(x[i])));
    if (!(error <= worst)) {
      worst = error;
      where = x[i];
    }
  }
  std::printf("     %s: %.3f ulp at %a\n", op, worst, static_cast<double>(where));
  CHECK(worst <= most_ulp);
}

}  // namespace

TEST("is exact or correctly rounded where the hardware is") {
  check_error("Abs", 0, [](double x) { return std::abs(x); });
  check_error("Ceil", 0, [](double x) { return std::ceil(x); });
  check_error("Floor", 0, [](double x) { return std::floor(x); });
  check_error("Round", 0, [](double x) { return std::nearbyint(x); });
  check_error("Neg", 0, [](double x) { return -x; });
  check_error("Relu", 0, [](double x) { return x < 0 ? 0 : x; });
  check_error("Square", 0.5, [](double x) { return x * x; });
  check_error("Sqrt", 0.5, [](double x) { return std::sqrt(x); });
  check_error("Reciprocal", 0.5, [](double x) { return 1 / x; });
}

TEST("stays within the stated errors elsewhere") {
  check_error("Cos", 0.53, [](double x) { return std::cos(x); });
  check_error("Erf", 1.3, [](double x) { return std::erf(x); });
  check_error("Exp", 1.1, [](double x) { return std::exp(x); });
  check_error("Expm1", 1.9, [](double x) { return std::expm1(x); });
  check_error("Log", 0.9, [](double x) { return std::log(x); });
  check_error("Log1p", 1.4, [](double x) { return std::log1p(x); });
  check_error("Rsqrt", 1.5, [](double x) { return 1 / std::sqrt(x); });
  check_error("Sigmoid", 2.4, [](double x) { return 1 / (1 + std::exp(-x)); });
  check_error("Sin", 0.53, [](double x) { return std::sin(x); });
  check_error("Softplus", 1.7, [](double x) { return x > 100 ? x : std::log1p(std::exp(x)); });
  check_error("Tanh", 1.4, [](double x) { return std::tanh(x); });
}

TEST("keeps NaN, and reaches the limits at infinity") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* op : {"Abs",  "Ceil",    "Cos", "Elu",        "Erf",  "Exp",   "Expm1", "Floor",
                         "Log",  "Log1p",   "Neg", "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt",
                         "Selu", "Sigmoid", "Sin", "Softplus",   "Sqrt", "Tanh"}) {
    CHECK(std::isnan(run(op, {nan})[0]));
  }
  CHECK_EQUAL(run("Exp", {kInfinity})[0], kInfinity);
  CHECK_EQUAL(run("Exp", {-kInfinity})[0], 0.0f);
  CHECK_EQUAL(run("Sigmoid", {kInfinity})[0], 1.0f);
  CHECK_EQUAL(run("Sigmoid", {-kInfinity})[0], 0.0f);
  CHECK(std::isnan(run("Sqrt", {-1.0f})[0]));
}

TEST("keeps the sign of zero") {
  for (const char* op : {"Ceil", "Erf", "Expm1", "Floor", "Log1p", "Round", "Sin", "Tanh"}) {
    CHECK(std::signbit(run(op, {-0.0f})[0]));
    CHECK(!std::signbit(run(op, {0.0f})[0]));
  }
}

TEST("raises to powers within the stated error, as JavaScript does at the corners") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto power = [](std::vector<float> a, std::vector<float> b) {
    std::vector<float> out(a.size());
    const auto count = static_cast<double>(a.size());
    CHECK(
        dm::test::run_op("Pow", {buffer_of(a), buffer_of(b), buffer_of(out)}, {0, 1, count, count})
            .ok());
    return out;
  };
  const std::vector<float> a = sample();
  for (const float exponent : {-2.0f, -0.37f, 0.5f, 1.0f, 3.0f, 17.3f}) {
    const std::vector<float> out = power(a, std::vector<float>(a.size(), exponent));
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double exact = std::pow(static_cast<double>(a[i]), static_cast<double>(exponent));
      const double error = error_in_ulp(out[i], exact);
      if (!(error <= worst)) worst = error;
    }
    CHECK(worst <= 0.51);
  }
  CHECK(std::isnan(power({1}, {nan})[0]));
  CHECK(std::isnan(power({-1}, {INFINITY})[0]));
  CHECK_EQUAL(power({nan}, {0})[0], 1.0f);
  CHECK_EQUAL(power({-INFINITY}, {3})[0], -INFINITY);
  CHECK_EQUAL(power({-2}, {0x1p24f})[0], INFINITY);
}

TEST("gives the same result at any place of a row") {
  const std::vector<float> x = sample();
  const std::vector<float> all = run("Exp", x);
  for (std::size_t i = 0; i < x.size(); i += 1009) CHECK_EQUAL(run("Exp", {x[i]})[0], all[i]);
}
