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
  check_error("Neg", 0, [](double x) { return -x; });
  check_error("Relu", 0, [](double x) { return x < 0 ? 0 : x; });
  check_error("Square", 0.5, [](double x) { return x * x; });
  check_error("Sqrt", 0.5, [](double x) { return std::sqrt(x); });
  check_error("Reciprocal", 0.5, [](double x) { return 1 / x; });
}

TEST("stays within the stated errors elsewhere") {
  check_error("Exp", 1, [](double x) { return std::exp(x); });
  check_error("Rsqrt", 1.5, [](double x) { return 1 / std::sqrt(x); });
  check_error("Sigmoid", 2.5, [](double x) { return 1 / (1 + std::exp(-x)); });
}

TEST("keeps NaN, and reaches the limits at infinity") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* op : {"Abs", "Exp", "Neg", "Reciprocal", "Relu", "Rsqrt", "Sigmoid", "Sqrt"}) {
    CHECK(std::isnan(run(op, {nan})[0]));
  }
  CHECK_EQUAL(run("Exp", {kInfinity})[0], kInfinity);
  CHECK_EQUAL(run("Exp", {-kInfinity})[0], 0.0f);
  CHECK_EQUAL(run("Sigmoid", {kInfinity})[0], 1.0f);
  CHECK_EQUAL(run("Sigmoid", {-kInfinity})[0], 0.0f);
  CHECK(std::isnan(run("Sqrt", {-1.0f})[0]));
}

TEST("gives the same result at any place of a row") {
  const std::vector<float> x = sample();
  const std::vector<float> all = run("Exp", x);
  for (std::size_t i = 0; i < x.size(); i += 1009) CHECK_EQUAL(run("Exp", {x[i]})[0], all[i]);
}
