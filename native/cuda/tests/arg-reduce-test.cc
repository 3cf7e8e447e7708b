// SPDX-License-Identifier: Apache-2.0
// Places of extremes on the device: exact.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;

namespace {

using Ints = std::vector<std::int32_t>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<double> sizes(double dtype, std::size_t outer, std::size_t length, std::size_t inner) {
  return {dtype, static_cast<double>(outer), static_cast<double>(length),
          static_cast<double>(inner)};
}

/// Numbers with many equal ones.
std::vector<float> coarse(std::size_t count) {
  std::vector<float> x = noise(count, 1);
  for (float& value : x) value = std::round(value * 8);
  return x;
}

void compare(std::size_t outer, std::size_t length, std::size_t inner) {
  std::vector<float> x = coarse(outer * length * inner);
  Ints most(outer * inner, -9);
  Ints least(outer * inner, -9);
  CHECK_EQUAL(run_device_op("ArgMax", {buffer_of(x), buffer_of(most)}, sizes(0, outer, length, inner)),
              "");
  CHECK_EQUAL(run_device_op("ArgMin", {buffer_of(x), buffer_of(least)}, sizes(0, outer, length, inner)),
              "");
  for (std::size_t i = 0; i < outer * inner; ++i) {
    const auto at = [&](std::size_t l) { return x[(i / inner * length + l) * inner + i % inner]; };
    std::size_t greatest = 0;
    std::size_t smallest = 0;
    for (std::size_t l = 1; l < length; ++l) {
      if (at(l) > at(greatest)) greatest = l;
      if (at(l) < at(smallest)) smallest = l;
    }
    CHECK_EQUAL(most[i], static_cast<std::int32_t>(greatest));
    CHECK_EQUAL(least[i], static_cast<std::int32_t>(smallest));
  }
}

}  // namespace

TEST("finds the first of equal extremes along any axis") {
  compare(5, 1, 1);
  compare(9, 33, 1);
  compare(2, 313, 1);
  compare(3, 17, 5);
}

TEST("passes over NaN unless it is first, in every dtype") {
  std::vector<float> x{1, kNan, 3, kNan, 5, 2};
  Ints y(2, -9);
  CHECK_EQUAL(run_device_op("ArgMax", {buffer_of(x), buffer_of(y)}, sizes(0, 2, 3, 1)), "");
  CHECK((y == Ints{2, 0}));
  Ints ints{3, -7, 9};
  CHECK_EQUAL(run_device_op("ArgMin", {buffer_of(ints), buffer_of(y)}, sizes(1, 1, 3, 1)), "");
  CHECK_EQUAL(y[0], 1);
  std::vector<std::uint8_t> bools{0, 1, 1};
  CHECK_EQUAL(run_device_op("ArgMax", {buffer_of(bools), buffer_of(y)}, sizes(2, 1, 3, 1)), "");
  CHECK_EQUAL(y[0], 1);
  CHECK_EQUAL(run_device_op("ArgMax", {buffer_of(bools), buffer_of(y)}, sizes(2, 2, 0, 1)), "");
  CHECK((y == Ints{0, 0}));
}
