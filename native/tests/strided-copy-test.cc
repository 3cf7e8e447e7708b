// SPDX-License-Identifier: Apache-2.0
// Strided views against plain loops, and views that leave their tensor.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

using Four = std::array<std::int64_t, 4>;

template <typename T>
void check_view(std::int64_t input, std::int64_t offset, const Four& sizes, const Four& steps) {
  std::vector<T> x(static_cast<std::size_t>(input));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i * 7 + 1);
  std::vector<T> expected;
  for (std::int64_t a = 0; a < sizes[0]; ++a) {
    for (std::int64_t b = 0; b < sizes[1]; ++b) {
      for (std::int64_t c = 0; c < sizes[2]; ++c) {
        for (std::int64_t d = 0; d < sizes[3]; ++d) {
          expected.push_back(x[static_cast<std::size_t>(offset + a * steps[0] + b * steps[1] +
                                                        c * steps[2] + d * steps[3])]);
        }
      }
    }
  }
  std::vector<T> y(expected.size());
  std::vector<double> numbers{static_cast<double>(sizeof(T)), static_cast<double>(input),
                              static_cast<double>(offset), 4};
  for (const std::int64_t size : sizes) numbers.push_back(static_cast<double>(size));
  for (const std::int64_t step : steps) numbers.push_back(static_cast<double>(step));
  CHECK_EQUAL(dm::test::run_op("DmStridedCopy", {buffer_of(x), buffer_of(y)}, numbers).message(), "");
  CHECK(y == expected);
}

template <typename T>
void check_views() {
  // Permutations of [5, 6, 33, 40].
  const Four sizes{5, 6, 33, 40};
  const Four steps{6 * 33 * 40, 33 * 40, 40, 1};
  Four order{0, 1, 2, 3};
  do {
    Four moved_sizes;
    Four moved_steps;
    for (std::size_t i = 0; i < 4; ++i) {
      moved_sizes[i] = sizes[static_cast<std::size_t>(order[i])];
      moved_steps[i] = steps[static_cast<std::size_t>(order[i])];
    }
    check_view<T>(5 * 6 * 33 * 40, 0, moved_sizes, moved_steps);
  } while (std::next_permutation(order.begin(), order.end()));
  check_view<T>(1000, 999, {2, 3, 4, 5}, {-100, -30, -7, -1});  // backwards
  check_view<T>(70, 3, {4, 5, 3, 6}, {0, 6, 0, 1});             // repeated
  check_view<T>(70, 3, {4, 2, 3, 5}, {1, 4, 12, 0});            // rows of one element
  check_view<T>(90, 0, {2, 3, 5, 3}, {45, 1, 3, 15});           // overlapping
  check_view<T>(5, 4, {1, 1, 1, 1}, {999, -999, 5, 5});         // one element
  check_view<T>(5, 0, {3, 0, 2, 1}, {999, 1, 1, 1});            // none
}

}  // namespace

TEST("copies views of words and bytes") {
  check_views<std::uint32_t>();
  check_views<std::uint8_t>();
}

TEST("refuses a view that leaves the tensor") {
  std::vector<float> x(10);
  std::vector<float> y(10);
  const auto message = [&](const std::vector<double>& numbers) {
    return dm::test::run_op("DmStridedCopy", {buffer_of(x), buffer_of(y)}, numbers).message();
  };
  CHECK_EQUAL(message({4, 10, 1, 1, 10, 1}),
              "DmStridedCopy: expected a view of 10 elements, got 1.000000..10.000000");
  CHECK_EQUAL(message({4, 10, 0, 1, 2, -1}),
              "DmStridedCopy: expected a view of 10 elements, got -1.000000..0.000000");
  CHECK_EQUAL(message({2, 10, 0, 1, 2, 1}), "DmStridedCopy: expected elements of 1 or 4 bytes, got 2");
}
