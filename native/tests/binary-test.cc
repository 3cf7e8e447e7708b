// SPDX-License-Identifier: Apache-2.0
// Every broadcast of up to three axes of sizes 0..3 against a plain loop, and the corners of the
// functions.
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

using Shape = std::array<int, 3>;

std::size_t place(const Shape& shape, const Shape& index) {
  int at = 0;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    at = at * shape[axis] + (shape[axis] == 1 ? 0 : index[axis]);
  }
  return static_cast<std::size_t>(at);
}

std::vector<float> counting(const Shape& shape, float start) {
  std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
  for (float& value : values) value = start++;
  return values;
}

void check_broadcast(const Shape& a_shape, const Shape& b_shape) {
  Shape shape;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    shape[axis] = a_shape[axis] == 1 ? b_shape[axis] : a_shape[axis];
  }
  std::vector<float> a = counting(a_shape, 1);
  std::vector<float> b = counting(b_shape, 100);
  std::vector<float> out(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]), -1.0f);
  std::vector<double> numbers{0, 3};
  numbers.insert(numbers.end(), a_shape.begin(), a_shape.end());
  numbers.insert(numbers.end(), b_shape.begin(), b_shape.end());
  CHECK_EQUAL(
      dm::test::run_op("Sub", {buffer_of(a), buffer_of(b), buffer_of(out)}, numbers).message(), "");
  Shape index;
  for (index[0] = 0; index[0] < shape[0]; ++index[0]) {
    for (index[1] = 0; index[1] < shape[1]; ++index[1]) {
      for (index[2] = 0; index[2] < shape[2]; ++index[2]) {
        CHECK_EQUAL(out[place(shape, index)], a[place(a_shape, index)] - b[place(b_shape, index)]);
      }
    }
  }
}

template <typename T>
T one(const char* op, double dtype, T a, T b) {
  std::vector<T> x{a};
  std::vector<T> y{b};
  std::vector<T> out{0};
  CHECK(dm::test::run_op(op, {buffer_of(x), buffer_of(y), buffer_of(out)}, {dtype, 0}).ok());
  return out[0];
}

}  // namespace

TEST("broadcasts every pair of shapes of three axes") {
  constexpr int kSizes = 4;
  const auto shape_of = [](int code) {
    return Shape{code / kSizes / kSizes, code / kSizes % kSizes, code % kSizes};
  };
  for (int i = 0; i < kSizes * kSizes * kSizes; ++i) {
    for (int j = 0; j < kSizes * kSizes * kSizes; ++j) {
      const Shape a = shape_of(i);
      const Shape b = shape_of(j);
      bool fits = true;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        fits = fits && (a[axis] == b[axis] || a[axis] == 1 || b[axis] == 1);
      }
      if (fits) check_broadcast(a, b);
    }
  }
}

TEST("cuts long rows and many rows into chunks") {
  check_broadcast({1, 1, 100'003}, {1, 1, 100'003});
  check_broadcast({1, 1, 50'000}, {1, 1, 1});
  check_broadcast({1, 20'001, 5}, {1, 1, 5});
  check_broadcast({1, 20'001, 5}, {1, 20'001, 1});
}

TEST("gives NaN for the greater and the smaller of NaN and a number") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* op : {"Maximum", "Minimum"}) {
    CHECK(std::isnan(one<float>(op, 0, nan, 1)));
    CHECK(std::isnan(one<float>(op, 0, 1, nan)));
  }
  CHECK_EQUAL(one<float>("Maximum", 0, -INFINITY, 3), 3.0f);
  CHECK_EQUAL(one<float>("RealDiv", 0, 1, 0), INFINITY);
}

TEST("wraps int32 around") {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  CHECK_EQUAL(one<std::int32_t>("Add", 1, kMost, 1), std::numeric_limits<std::int32_t>::min());
  CHECK_EQUAL(one<std::int32_t>("Sub", 1, -kMost, 2), kMost);
  CHECK_EQUAL(one<std::int32_t>("Multiply", 1, 65536, 65537), 65536);
  CHECK_EQUAL(one<std::int32_t>("Maximum", 1, -3, 2), 2);
}
