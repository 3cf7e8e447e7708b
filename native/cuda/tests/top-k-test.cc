// SPDX-License-Identifier: Apache-2.0
// The largest elements of rows on the device: exact.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

using Ints = std::vector<std::int32_t>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Whether the elements have the same bits, but for those of NaN.
bool same(float a, float b) {
  return (a == b && std::signbit(a) == std::signbit(b)) || (a != a && b != b);
}
bool same(std::int32_t a, std::int32_t b) { return a == b; }

/// The device's choice against a stable sort: larger ones first, NaN after all numbers.
template <class T>
void compare(std::size_t width, std::size_t k, std::vector<T> x) {
  const std::size_t rows = x.size() / width;
  std::vector<T> values(rows * k, T{99});
  Ints indices(rows * k, -9);
  constexpr double kType = std::is_same_v<T, float> ? 0 : 1;
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(values), buffer_of(indices)},
                            {kType, static_cast<double>(rows), static_cast<double>(width),
                             static_cast<double>(k)}),
              "");
  std::size_t wrong = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<std::size_t> order(width);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const T* const from = x.data() + row * width;
    std::stable_sort(order.begin(), order.end(), [from](std::size_t a, std::size_t b) {
      return from[a] > from[b] || (from[a] == from[a] && from[b] != from[b]);
    });
    for (std::size_t i = 0; i < k; ++i) {
      const bool right = indices[row * k + i] == static_cast<std::int32_t>(order[i]) &&
                         same(values[row * k + i], from[order[i]]);
      wrong += right ? 0 : 1;
    }
  }
  CHECK_EQUAL(wrong, std::size_t{0});
}

/// Of `levels` values on either side of 0: many are equal.
std::vector<float> rounded(std::size_t count, float levels) {
  std::vector<float> x = noise(count, 1);
  for (float& value : x) value = std::round(value * levels);
  return x;
}

/// Numbers, and among them NaN, infinities and zeros of both signs.
std::vector<float> special(std::size_t count) {
  std::vector<float> x = rounded(count, 3);
  constexpr float kSpecial[] = {kNan, -0.0f, kInfinity, 0.0f, -kInfinity, -kNan};
  for (std::size_t i = 0; i < count; i += 2) x[i] = kSpecial[i / 2 % 7 % 6];
  return x;
}

/// All bits.
Ints words(std::size_t count) {
  Ints result(count);
  for (std::size_t i = 0; i < count; ++i) {
    result[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(i) * 2654435761u);
  }
  return result;
}

}  // namespace

TEST("sorts the largest, equal ones by place") {
  compare(1, 1, rounded(3, 20));
  compare(51, 5, rounded(4 * 51, 20));
  compare(313, 16, rounded(2 * 313, 20));
  compare(600, 3, rounded(600, 20));
  compare(5000, 16, rounded(2 * 5000, 20));
  compare(40000, 2, noise(40000, 2));
}

TEST("selects any number of a row in one block") {
  for (const std::size_t width : {std::size_t{17}, std::size_t{255}, std::size_t{256},
                                  std::size_t{257}, std::size_t{1000}, std::size_t{4097}}) {
    for (const std::size_t k : {std::size_t{17}, std::size_t{255}, std::size_t{256},
                                std::size_t{257}, width - 1, width}) {
      if (k > width || k > 2048) continue;
      compare(width, k, noise(3 * width, 3));
      compare(width, k, rounded(width, 20));
      compare(width, k, special(2 * width));
    }
  }
  compare(4097, 2048, noise(2 * 4097, 4));
  compare(1000, 300, std::vector<float>(1000, -1.5f));  // all alike
  compare(1000, 300, std::vector<float>(1000, kNan));
  compare(1000, 999, words(3 * 1000));
  compare(257, 100, Ints(257, -2147483647 - 1));
}

TEST("selects from a long row in several blocks") {
  compare(32769, 17, noise(32769, 5));
  compare(40000, 1000, rounded(2 * 40000, 200));
  compare(33000, 2048, special(33000));
  compare(33000, 20, std::vector<float>(33000, 0.25f));
  compare(33000, 100, words(33000));
  std::vector<float> few(33000, -1.0f);  // the last ones are the largest
  for (std::size_t i = 0; i < 30; ++i) few[few.size() - 1 - i] = 1.0f;
  compare(33000, 31, few);
}

TEST("sorts rows of which very many are wanted") {
  compare(2049, 2049, noise(3 * 2049, 6));
  compare(4097, 2050, rounded(2 * 4097, 50));
  compare(4097, 4097, special(4097));
  compare(4096, 4096, words(2 * 4096));
  compare(5000, 5000, std::vector<float>(5000, kNan));
}

TEST("puts NaN last and keeps -0 beside 0") {
  std::vector<float> x{std::numeric_limits<float>::quiet_NaN(), -0.0f, 0.0f,
                       -std::numeric_limits<float>::infinity(), 2};
  std::vector<float> values = unwritten(5);
  Ints indices(5);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(values), buffer_of(indices)},
                            {0, 1, 5, 5}),
              "");
  CHECK((indices == Ints{4, 1, 2, 3, 0}));
  Ints ints{-5, 2147483647, -2147483647 - 1};
  Ints best(2);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(ints), buffer_of(best), buffer_of(indices)},
                            {1, 1, 3, 2}),
              "");
  CHECK((best == Ints{2147483647, -5}));
}

TEST("refuses more than there are") {
  std::vector<float> x(2);
  CHECK_EQUAL(run_device_op("TopK", {buffer_of(x), buffer_of(x), buffer_of(x)}, {0, 1, 2, 3}),
              "TopK: expected k of at most the width, got 3");
}
