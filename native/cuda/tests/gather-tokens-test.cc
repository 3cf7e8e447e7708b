// SPDX-License-Identifier: Apache-2.0
// Gathering and scattering tokens on the device: exact copies, sums in rising order.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device-run.h"
#include "scattered.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::place_patterns;
using dm::test::places_of;
using dm::test::run_device_op;
using dm::test::Scattered;
using dm::test::unwritten;

namespace {

struct Sizes {
  std::size_t batch, tokens, count, width;

  std::vector<double> numbers(double dtype = 0) const {
    return {dtype, static_cast<double>(batch), static_cast<double>(tokens),
            static_cast<double>(count), static_cast<double>(width)};
  }
};

/// Indices 0..tokens-1, some of them equal.
std::vector<std::int32_t> indices_of(const Sizes& s) {
  std::vector<std::int32_t> result(s.batch * s.count);
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = static_cast<std::int32_t>((i * 7 + i / 5) % s.tokens);
  }
  return result;
}

void compare(const Sizes& s) {
  std::vector<float> x = noise(s.batch * s.tokens * s.width, 1);
  std::vector<std::int32_t> indices = indices_of(s);
  std::vector<float> y = unwritten(s.batch * s.count * s.width);
  CHECK_EQUAL(run_device_op("DmGatherTokens", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                            s.numbers()),
              "");
  std::vector<float> back = unwritten(s.batch * s.tokens * s.width);
  CHECK_EQUAL(run_device_op("DmScatterTokens", {buffer_of(y), buffer_of(indices), buffer_of(back)},
                            s.numbers()),
              "");
  std::vector<float> gathered(y.size());
  std::vector<float> sums(back.size(), 0.0f);
  for (std::size_t row = 0; row < indices.size(); ++row) {
    const std::size_t token =
        row / s.count * s.tokens + static_cast<std::size_t>(indices[row]);
    for (std::size_t c = 0; c < s.width; ++c) {
      gathered[row * s.width + c] = x[token * s.width + c];
      sums[token * s.width + c] += x[token * s.width + c];
    }
  }
  CHECK(y == gathered);
  CHECK(back == sums);
}

}  // namespace

TEST("copies and adds up exactly, for rows of 4, 16 and odd bytes and more indices than a warp has lanes") {
  compare({3, 5, 4, 1});
  compare({2, 51, 17, 12});
  compare({2, 17, 70, 33});
  compare({1, 157, 31, 136});
  compare({2, 1, 3, 4});
}

TEST("adds up many tokens of a sample in the order that is promised") {
  constexpr std::size_t kCount = 1300;
  constexpr std::size_t kTokens = 301;
  constexpr std::size_t kWidth = 6;
  for (const std::string& pattern : place_patterns()) {
    std::vector<std::int32_t> indices = places_of(pattern, kCount, kTokens);
    std::vector<float> x = noise(kCount * kWidth, 2);
    const Scattered<float> wanted(x, indices, 1, kTokens, kWidth, -0.0f);
    x.insert(x.end(), x.begin(), x.end());  // the same sample twice
    indices.insert(indices.end(), indices.begin(), indices.end());
    std::vector<float> y = unwritten(2 * kTokens * kWidth);
    CHECK_EQUAL(run_device_op("DmScatterTokens", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                              {0, 2, kTokens, kCount, kWidth}),
                "");
    const auto half = y.begin() + static_cast<std::ptrdiff_t>(kTokens * kWidth);
    CHECK(std::vector<float>(y.begin(), half) == wanted.in_order);
    CHECK(std::vector<float>(half, y.end()) == wanted.in_order);
    CHECK_ERROR(dm::test::relative_error(std::vector<float>(half, y.end()), wanted.exact), 1e-6);
  }
}

TEST("keeps the sign of a 0 that is alone, of few tokens and of many") {
  for (const std::size_t count : {std::size_t{3}, std::size_t{1100}}) {
    std::vector<std::int32_t> indices(count, 1);
    indices[2] = 0;
    std::vector<float> x(count, 0.0f);
    x[2] = -0.0f;
    std::vector<float> y = unwritten(3);
    CHECK_EQUAL(run_device_op("DmScatterTokens", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                              {0, 1, 3, static_cast<double>(count), 1}),
                "");
    CHECK_EQUAL(y[0], 0.0f);
    CHECK(std::signbit(y[0]));
    CHECK(!std::signbit(y[1]));
    CHECK(!std::signbit(y[2]));
  }
}

TEST("moves int32 and bool as they are") {
  std::vector<std::int32_t> x{1, -2, 3, 2147483647};
  std::vector<std::int32_t> indices{1, 1, 0};
  std::vector<std::int32_t> y(3, -9);
  CHECK_EQUAL(run_device_op("DmGatherTokens", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                            {1, 1, 4, 3, 1}),
              "");
  CHECK((y == std::vector<std::int32_t>{-2, -2, 1}));
  std::vector<std::int32_t> from{2147483647, 1, 5};
  std::vector<std::int32_t> sums(4, -9);
  CHECK_EQUAL(run_device_op("DmScatterTokens",
                            {buffer_of(from), buffer_of(indices), buffer_of(sums)}, {1, 1, 4, 3, 1}),
              "");
  CHECK((sums == std::vector<std::int32_t>{5, -2147483647 - 1, 0, 0}));  // wraps around
  std::vector<std::uint8_t> flags{1, 0, 1, 1, 0, 1};
  std::vector<std::uint8_t> taken(6, 9);
  CHECK_EQUAL(run_device_op("DmGatherTokens",
                            {buffer_of(flags), buffer_of(indices), buffer_of(taken)}, {2, 1, 3, 3, 2}),
              "");
  CHECK((taken == std::vector<std::uint8_t>{1, 1, 1, 1, 1, 0}));
}

TEST("gives NaN for indices outside when gathering, and leaves them out when scattering") {
  std::vector<float> x = noise(3 * 4, 1);
  std::vector<std::int32_t> indices{-1, 2, 3};
  std::vector<float> y = unwritten(3 * 4);
  y[0] = 1;
  CHECK_EQUAL(run_device_op("DmGatherTokens", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                            {0, 1, 3, 3, 4}),
              "");
  CHECK(std::isnan(y[0]));
  CHECK_EQUAL(y[4], x[8]);
  CHECK(std::isnan(y[8]));
  std::vector<float> sums = unwritten(3 * 4);
  CHECK_EQUAL(run_device_op("DmScatterTokens", {buffer_of(x), buffer_of(indices), buffer_of(sums)},
                            {0, 1, 3, 3, 4}),
              "");
  CHECK_EQUAL(sums[0], 0.0f);
  CHECK_EQUAL(sums[8], x[4]);
}

TEST("refuses to scatter bool") {
  std::vector<std::uint8_t> x(1);
  CHECK_EQUAL(run_device_op("DmScatterTokens", {buffer_of(x), buffer_of(x), buffer_of(x)},
                            {2, 1, 1, 1, 1}),
              "DmScatterTokens: expected float32 or int32, got bool");
}
