// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two operands on the device: broadcasting exactly, values against the C library.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;
using Shape = std::vector<std::size_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
constexpr double kDtype = sizeof(T) == 1 ? 2 : (std::is_integral_v<T> ? 1 : 0);

template <typename R, typename T>
std::vector<R> run(const char* name, std::vector<T> a, std::vector<T> b, const Shape& a_shape,
                   const Shape& b_shape) {
  std::vector<double> numbers{kDtype<T>, static_cast<double>(a_shape.size())};
  std::size_t count = 1;
  for (std::size_t i = 0; i < a_shape.size(); ++i) {
    count *= a_shape[i] == 1 ? b_shape[i] : a_shape[i];
  }
  for (const std::size_t size : a_shape) numbers.push_back(static_cast<double>(size));
  for (const std::size_t size : b_shape) numbers.push_back(static_cast<double>(size));
  std::vector<R> out(count, R{77});
  CHECK_EQUAL(run_device_op(name, {buffer_of(a), buffer_of(b), buffer_of(out)}, numbers), "");
  return out;
}

template <typename R, typename T>
std::vector<R> alike(const char* name, const std::vector<T>& a, const std::vector<T>& b) {
  return run<R>(name, a, b, {a.size()}, {b.size()});
}

std::size_t product(const Shape& shape) {
  std::size_t count = 1;
  for (const std::size_t size : shape) count *= size;
  return count;
}

/// a - b, element by element of the broadcast shape.
void compare(const Shape& a_shape, const Shape& b_shape) {
  const std::vector<float> a = noise(product(a_shape), 1);
  const std::vector<float> b = noise(product(b_shape), 2);
  const std::vector<float> out = run<float>("Sub", a, b, a_shape, b_shape);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::size_t rest = i;
    std::size_t at[2] = {0, 0};
    std::size_t step[2] = {1, 1};
    for (std::size_t axis = a_shape.size(); axis-- > 0;) {
      const std::size_t size = a_shape[axis] == 1 ? b_shape[axis] : a_shape[axis];
      const std::size_t place = rest % size;
      rest /= size;
      at[0] += a_shape[axis] == 1 ? 0 : place * step[0];
      at[1] += b_shape[axis] == 1 ? 0 : place * step[1];
      step[0] *= a_shape[axis];
      step[1] *= b_shape[axis];
    }
    wrong += out[i] != a[at[0]] - b[at[1]];
  }
  CHECK_EQUAL(wrong, std::size_t{0});
}

}  // namespace

TEST("broadcasts along any axes, rows by fours and not") {
  compare({1030}, {1030});
  compare({1030}, {1});
  compare({1}, {7});
  compare({3, 16}, {1, 16});
  compare({3, 17}, {3, 1});
  compare({1, 16}, {5, 1});
  compare({2, 1, 3, 1, 8}, {2, 5, 1, 4, 8});
  compare({2, 3, 1, 7}, {1, 3, 5, 1});
}

TEST("computes float32 rounded once") {
  const std::vector<float> a = noise(51, 1);
  const std::vector<float> b = noise(51, 2);
  const auto check = [&](const char* name, auto function) {
    const std::vector<float> out = alike<float>(name, a, b);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK_EQUAL(out[i], function(a[i], b[i]));
  };
  check("Add", [](float x, float y) { return x + y; });
  check("Multiply", [](float x, float y) { return x * y; });
  check("RealDiv", [](float x, float y) { return x / y; });
  check("SquaredDifference", [](float x, float y) { return (x - y) * (x - y); });
  check("Maximum", [](float x, float y) { return x > y ? x : y; });
  check("Minimum", [](float x, float y) { return x < y ? x : y; });
  check("EluGrad", [](float x, float y) { return y >= 0 ? x : x * (y + 1); });
  check("Prelu", [](float x, float y) { return x < 0 ? y * x : x; });
}

TEST("compares and combines as JavaScript does") {
  const std::vector<float> a{1, 2, 3, kNan};
  const std::vector<float> b{2, 2, 2, 2};
  CHECK((alike<Bool>("Equal", a, b) == std::vector<Bool>{0, 1, 0, 0}));
  CHECK((alike<Bool>("NotEqual", a, b) == std::vector<Bool>{1, 0, 1, 1}));
  CHECK((alike<Bool>("Greater", a, b) == std::vector<Bool>{0, 0, 1, 0}));
  CHECK((alike<Bool>("GreaterEqual", a, b) == std::vector<Bool>{0, 1, 1, 0}));
  CHECK((alike<Bool>("Less", a, b) == std::vector<Bool>{1, 0, 0, 0}));
  CHECK((alike<Bool>("LessEqual", a, b) == std::vector<Bool>{1, 1, 0, 0}));
  CHECK(std::isnan(alike<float>("Maximum", a, b)[3]));
  CHECK(std::isnan(alike<float>("Minimum", a, b)[3]));
  const std::vector<Bool> p{0, 0, 1, 1};
  const std::vector<Bool> q{0, 1, 0, 1};
  CHECK((alike<Bool>("LogicalAnd", p, q) == std::vector<Bool>{0, 0, 0, 1}));
  CHECK((alike<Bool>("LogicalOr", p, q) == std::vector<Bool>{0, 1, 1, 1}));
}

TEST("divides, takes remainders and powers as JavaScript does") {
  CHECK((alike<Int>("FloorDiv", std::vector<float>{7, -7, 7.5f}, {2, 2, -2}) ==
         std::vector<Int>{3, -4, -4}));
  CHECK((alike<Int>("FloorDiv", std::vector<Int>{7, -7, 7}, {2, 2, 0}) ==
         std::vector<Int>{3, -4, 0}));
  CHECK((alike<float>("Mod", std::vector<float>{7, -7, 7, -7}, {3, 3, -3, -3}) ==
         std::vector<float>{1, 2, -2, -1}));
  CHECK((alike<Int>("Mod", std::vector<Int>{7, -7, 7, -7}, {3, 3, -3, -3}) ==
         std::vector<Int>{1, 2, -2, -1}));
  CHECK((alike<Int>("Pow", std::vector<Int>{2, -3, 2, 2}, {31, 3, -1, 33}) ==
         std::vector<Int>{-2147483647 - 1, -27, 0, 0}));
  const std::vector<float> powers =
      alike<float>("Pow", std::vector<float>{-2, 2, 1, 1, kNan, -8}, {3, 0.5f, kNan, kInfinity, 0, 2});
  // A GPU's powf is good to 4 units in the last place.
  CHECK_ERROR(std::abs(powers[0] + 8), 4e-6);
  CHECK_ERROR(std::abs(static_cast<double>(powers[1]) - std::sqrt(2.0)), 3e-7);
  CHECK(std::isnan(powers[2]) && std::isnan(powers[3]));
  CHECK_EQUAL(powers[4], 1.0f);
  CHECK_EQUAL(powers[5], 64.0f);
}

TEST("wraps integers around") {
  const std::vector<Int> a{2147483647, 65536};
  const std::vector<Int> b{1, 65536};
  CHECK((alike<Int>("Add", a, b) == std::vector<Int>{-2147483647 - 1, 131072}));
  CHECK((alike<Int>("Multiply", a, b) == std::vector<Int>{2147483647, 0}));
  CHECK((alike<Bool>("Add", std::vector<Bool>{1, 0}, {1, 1}) == std::vector<Bool>{2, 1}));
}

TEST("adds any number of tensors in order") {
  std::vector<float> a = noise(51, 1);
  std::vector<float> b = noise(51, 2);
  std::vector<float> c = noise(51, 3);
  std::vector<float> out(51);
  CHECK_EQUAL(run_device_op("AddN", {buffer_of(a), buffer_of(b), buffer_of(c), buffer_of(out)},
                            {0, 51}),
              "");
  for (std::size_t i = 0; i < 51; ++i) CHECK_EQUAL(out[i], a[i] + b[i] + c[i]);
  CHECK_EQUAL(run_device_op("AddN", {buffer_of(a), buffer_of(out)}, {0, 51}), "");
  CHECK(out == a);
}

TEST("says what does not fit") {
  std::vector<float> x(6);
  CHECK_EQUAL(run_device_op("Add", {buffer_of(x), buffer_of(x), buffer_of(x)}, {0, 1, 3, 2}),
              "binary: expected shapes that broadcast, got 3 against 2");
  CHECK_EQUAL(run_device_op("Prelu", {buffer_of(x), buffer_of(x), buffer_of(x)}, {1, 1, 3, 3}),
              "binary: expected a dtype of this op, got 1");
}
