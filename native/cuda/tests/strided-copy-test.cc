// SPDX-License-Identifier: Apache-2.0
// Views on the device: exact copies.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::run_device_op;

namespace {

struct View {
  std::int64_t input, offset;
  std::vector<std::int64_t> sizes, steps;
};

template <typename T>
void compare(const View& view) {
  std::vector<T> x(static_cast<std::size_t>(view.input));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i * 7 + 1);
  std::size_t count = 1;
  std::vector<double> numbers{sizeof(T), static_cast<double>(view.input),
                              static_cast<double>(view.offset),
                              static_cast<double>(view.sizes.size())};
  for (const std::int64_t size : view.sizes) count *= static_cast<std::size_t>(size);
  for (const std::int64_t size : view.sizes) numbers.push_back(static_cast<double>(size));
  for (const std::int64_t step : view.steps) numbers.push_back(static_cast<double>(step));
  std::vector<T> y(count, T{0});
  CHECK_EQUAL(run_device_op("DmStridedCopy", {buffer_of(x), buffer_of(y)}, numbers), "");
  std::vector<T> expected;
  for (std::size_t i = 0; i < count; ++i) {
    auto rest = static_cast<std::int64_t>(i);
    std::int64_t at = view.offset;
    for (std::size_t axis = view.sizes.size(); axis-- > 0; rest /= view.sizes[axis]) {
      at += rest % view.sizes[axis] * view.steps[axis];
    }
    expected.push_back(x[static_cast<std::size_t>(at)]);
  }
  CHECK(y == expected);
}

void both(const View& view) {
  compare<std::int32_t>(view);
  compare<std::uint8_t>(view);
}

}  // namespace

TEST("slices, by fours and not") {
  both({24 * 32, 32 * 2 + 4, {5, 16}, {32, 1}});
  both({24 * 32, 32 * 2 + 3, {5, 16}, {32, 1}});
  both({24 * 31, 31 + 1, {3, 17}, {62, 1}});
}

TEST("transposes, in whole tiles and ragged ones") {
  both({64 * 32, 0, {32, 64}, {1, 32}});
  both({51 * 37, 0, {37, 51}, {1, 37}});
  both({3 * 33 * 5, 0, {5, 3, 33}, {1, 165, 5}});
  both({2 * 3 * 34 * 4, 0, {2, 34, 3, 4}, {408, 4, 136, 1}});
  both({2 * 40 * 35, 35, {2, 35, 39}, {1400, 1, 35}});
}

TEST("reverses, repeats and keeps one element") {
  both({10, 9, {10}, {-1}});
  both({4 * 6, 3 * 6 + 5, {4, 6}, {-6, -1}});
  both({6, 0, {3, 6}, {0, 1}});
  both({6, 2, {3, 5}, {1, 0}});
  both({6, 5, {}, {}});
}

TEST("refuses a view that reaches outside") {
  std::vector<float> x(4);
  CHECK_EQUAL(run_device_op("DmStridedCopy", {buffer_of(x), buffer_of(x)}, {4, 4, 1, 1, 4, 1}),
              "DmStridedCopy: expected a view of 4 elements, got 1.000000..4.000000");
}
