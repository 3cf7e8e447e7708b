// SPDX-License-Identifier: Apache-2.0
// Running sums and products on the device against float64.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

void compare(const char* name, bool product, std::size_t outer, std::size_t length,
             std::size_t inner, bool exclusive, bool reverse) {
  std::vector<float> x = noise(outer * length * inner, 1);
  if (product) {
    for (float& value : x) value = 1 + value / 16;
  }
  std::vector<float> y = unwritten(x.size());
  std::vector<double> expected(x.size());
  CHECK_EQUAL(run_device_op(name, {buffer_of(x), buffer_of(y)},
                            {0, static_cast<double>(outer), static_cast<double>(length),
                             static_cast<double>(inner), exclusive ? 1.0 : 0.0, reverse ? 1.0 : 0.0}),
              "");
  for (std::size_t column = 0; column < outer * inner; ++column) {
    double total = product ? 1 : 0;
    for (std::size_t i = 0; i < length; ++i) {
      const std::size_t l = reverse ? length - 1 - i : i;
      const std::size_t at = (column / inner * length + l) * inner + column % inner;
      const auto next = static_cast<double>(x[at]);
      const double following = product ? total * next : total + next;
      expected[at] = exclusive ? total : following;
      total = following;
    }
  }
  CHECK_ERROR(relative_error(y, expected), 2e-6);
}

}  // namespace

TEST("is within 2e-6 of float64 along any axis, from either end, with and without the element") {
  for (const bool exclusive : {false, true}) {
    for (const bool reverse : {false, true}) {
      for (const std::size_t length : {std::size_t{1}, std::size_t{32}, std::size_t{157}}) {
        compare("Cumsum", false, 5, length, 1, exclusive, reverse);
        compare("Cumsum", false, 2, length, 7, exclusive, reverse);
        compare("Cumprod", true, 3, length, 1, exclusive, reverse);
      }
    }
  }
}

TEST("keeps a product at 0 whatever follows") {
  std::vector<float> x(64, 1e30f);
  x[0] = 0;
  std::vector<float> y = unwritten(64);
  CHECK_EQUAL(run_device_op("Cumprod", {buffer_of(x), buffer_of(y)}, {0, 1, 64, 1, 0, 0}), "");
  CHECK(y == std::vector<float>(64, 0));
}

TEST("wraps integers around") {
  std::vector<std::int32_t> x{2147483647, 1, 3};
  std::vector<std::int32_t> y(3);
  CHECK_EQUAL(run_device_op("Cumsum", {buffer_of(x), buffer_of(y)}, {1, 1, 3, 1, 0, 0}), "");
  CHECK((y == std::vector<std::int32_t>{2147483647, -2147483647 - 1, -2147483645}));
  CHECK_EQUAL(run_device_op("Cumprod", {buffer_of(x), buffer_of(y)}, {1, 3, 1, 1, 0, 0}), "");
  CHECK(y == x);
}

TEST("refuses bool") {
  std::vector<std::uint8_t> x(1);
  CHECK_EQUAL(run_device_op("Cumsum", {buffer_of(x), buffer_of(x)}, {2, 1, 1, 1, 0, 0}),
              "Cumsum: expected float32 or int32, got bool");
}
