// SPDX-License-Identifier: Apache-2.0
// Slices by index on the device: exact copies, sums in rising order.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

using Ints = std::vector<std::int32_t>;

struct Sizes {
  std::size_t batch, outer, axis, indices, slice;
};

void compare(const Sizes& s) {
  const std::size_t planes = s.batch * s.outer;
  std::vector<float> x = noise(planes * s.axis * s.slice, 1);
  Ints indices(s.batch * s.indices);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    indices[i] = static_cast<std::int32_t>((i * 5 + i / 3) % s.axis);
  }
  std::vector<double> numbers{static_cast<double>(s.batch), static_cast<double>(s.outer),
                              static_cast<double>(s.axis), static_cast<double>(s.indices),
                              static_cast<double>(s.slice)};
  std::vector<float> y = unwritten(planes * s.indices * s.slice);
  std::vector<float> dx = unwritten(x.size());
  std::vector<float> gathered(y.size());
  std::vector<float> sums(x.size(), 0.0f);
  for (std::size_t row = 0; row < planes * s.indices; ++row) {
    const std::size_t plane = row / s.indices;
    const auto index =
        static_cast<std::size_t>(indices[plane / s.outer * s.indices + row % s.indices]);
    for (std::size_t c = 0; c < s.slice; ++c) {
      gathered[row * s.slice + c] = x[(plane * s.axis + index) * s.slice + c];
      sums[(plane * s.axis + index) * s.slice + c] += gathered[row * s.slice + c];
    }
  }
  CHECK_EQUAL(run_device_op("DmGatherV2Grad",
                            {buffer_of(gathered), buffer_of(indices), buffer_of(dx)}, numbers),
              "");
  CHECK(dx == sums);
  numbers.insert(numbers.begin(), 4);
  CHECK_EQUAL(run_device_op("GatherV2", {buffer_of(x), buffer_of(indices), buffer_of(y)}, numbers),
              "");
  CHECK(y == gathered);
}

}  // namespace

TEST("gathers along any axis with and without batches, and adds back") {
  compare({1, 1, 7, 5, 8});
  compare({1, 3, 5, 4, 1});
  compare({2, 3, 4, 70, 3});
  compare({3, 1, 51, 33, 2});
}

TEST("gives 0 for an index outside, and leaves it out of sums") {
  std::vector<float> x{1, 2, 3};
  Ints indices{2, 3, -1};
  std::vector<float> y = unwritten(3);
  CHECK_EQUAL(run_device_op("GatherV2", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                            {4, 1, 1, 3, 3, 1}),
              "");
  CHECK((y == std::vector<float>{3, 0, 0}));
  CHECK_EQUAL(run_device_op("UnsortedSegmentSum", {buffer_of(x), buffer_of(indices), buffer_of(y)},
                            {3, 3, 1}),
              "");
  CHECK((y == std::vector<float>{0, 0, 1}));
}

TEST("adds slices up by id") {
  std::vector<float> x{1, 2, 3, 4, 5, 6};
  Ints ids{1, 0, 1};
  std::vector<float> y = unwritten(6);
  CHECK_EQUAL(run_device_op("UnsortedSegmentSum", {buffer_of(x), buffer_of(ids), buffer_of(y)},
                            {3, 3, 2}),
              "");
  CHECK((y == std::vector<float>{3, 4, 6, 8, 0, 0}));
}

TEST("copies bytes, whole") {
  std::vector<std::uint8_t> x{1, 2, 3, 4, 5};
  std::vector<std::uint8_t> y(5, 9);
  CHECK_EQUAL(run_device_op("Copy", {buffer_of(x), buffer_of(y)}, {5}), "");
  CHECK(y == x);
}
