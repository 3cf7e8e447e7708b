// SPDX-License-Identifier: Apache-2.0
// Joining and splitting on the device: exact copies.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::run_device_op;

namespace {

template <typename T>
void compare(std::size_t outer, const std::vector<std::size_t>& inner) {
  std::vector<std::vector<T>> parts;
  std::vector<double> numbers{sizeof(T), static_cast<double>(outer)};
  std::size_t row = 0;
  for (const std::size_t columns : inner) {
    parts.emplace_back(outer * columns);
    for (std::size_t i = 0; i < parts.back().size(); ++i) {
      parts.back()[i] = static_cast<T>(i * 3 + parts.size());
    }
    numbers.push_back(static_cast<double>(columns));
    row += columns;
  }
  std::vector<T> expected;
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t p = 0; p < inner.size(); ++p) {
      const auto begin = parts[p].begin() + static_cast<std::ptrdiff_t>(o * inner[p]);
      expected.insert(expected.end(), begin, begin + static_cast<std::ptrdiff_t>(inner[p]));
    }
  }
  std::vector<T> whole(outer * row, T{99});
  std::vector<std::vector<T>> back = parts;
  std::vector<dm::Buffer> joined;
  std::vector<dm::Buffer> cut{buffer_of(whole)};
  for (auto& part : parts) joined.push_back(buffer_of(part));
  joined.push_back(buffer_of(whole));
  CHECK_EQUAL(run_device_op("Concat", joined, numbers), "");
  CHECK(whole == expected);
  for (auto& part : back) {
    part.assign(part.size(), T{99});
    cut.push_back(buffer_of(part));
  }
  CHECK_EQUAL(run_device_op("SplitV", cut, numbers), "");
  CHECK(back == parts);
}

}  // namespace

TEST("joins and cuts parts of 16, 4 and odd bytes, empty ones between") {
  compare<std::int32_t>(3, {8, 4, 12});
  compare<std::int32_t>(5, {3, 0, 7});
  compare<std::int32_t>(3, {4, 3});
  compare<std::int32_t>(1, {51, 102});
  compare<std::uint8_t>(3, {16, 32});
  compare<std::uint8_t>(4, {3, 5, 1});
  compare<std::uint8_t>(2, {8, 4});
}

TEST("says which part is too short") {
  std::vector<float> x(2);
  CHECK_EQUAL(run_device_op("Concat", {buffer_of(x), buffer_of(x)}, {4, 1, 3}),
              "Concat: expected buffer 0 of at least 12 elements of 1 bytes, got 8 bytes");
}
