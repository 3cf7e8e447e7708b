// SPDX-License-Identifier: Apache-2.0
// Slices by index on the device: exact copies, sums in rising order.
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

/// UnsortedSegmentSum of `count` slices, whose places follow a pattern.
void compare_sums(const std::string& pattern, std::size_t targets, std::size_t count,
                  std::size_t width) {
  std::vector<float> x = noise(count * width, 3);
  Ints places = places_of(pattern, count, targets);
  const Scattered<float> wanted(x, places, 1, targets, width);
  std::vector<float> y = unwritten(targets * width);
  CHECK_EQUAL(run_device_op("UnsortedSegmentSum", {buffer_of(x), buffer_of(places), buffer_of(y)},
                            {static_cast<double>(targets), static_cast<double>(count),
                             static_cast<double>(width)}),
              "");
  CHECK(y == wanted.in_order);
  // 4097 terms, of which up to 128 are added one after another.
  CHECK_ERROR(dm::test::relative_error(y, wanted.exact), 1e-6);
}

/// DmGatherV2Grad of `batch` batches of `planes` planes.
void compare_planes(const std::string& pattern, const Sizes& s) {
  const std::size_t planes = s.batch * s.outer;
  std::vector<float> dy = noise(planes * s.indices * s.slice, 4);
  std::vector<float> dx = unwritten(planes * s.axis * s.slice);
  Ints indices;
  std::vector<float> wanted;
  for (std::size_t b = 0; b < s.batch; ++b) {
    Ints own = places_of(pattern, s.indices + b, s.axis);
    own.erase(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(b));  // other ones in each batch
    const std::size_t elements = s.outer * s.indices * s.slice;
    const std::vector<float> x(dy.begin() + static_cast<std::ptrdiff_t>(b * elements),
                               dy.begin() + static_cast<std::ptrdiff_t>((b + 1) * elements));
    const Scattered<float> sums(x, own, s.outer, s.axis, s.slice);
    indices.insert(indices.end(), own.begin(), own.end());
    wanted.insert(wanted.end(), sums.in_order.begin(), sums.in_order.end());
  }
  CHECK_EQUAL(run_device_op("DmGatherV2Grad", {buffer_of(dy), buffer_of(indices), buffer_of(dx)},
                            {static_cast<double>(s.batch), static_cast<double>(s.outer),
                             static_cast<double>(s.axis), static_cast<double>(s.indices),
                             static_cast<double>(s.slice)}),
              "");
  CHECK(dx == wanted);
}

}  // namespace

TEST("gathers along any axis with and without batches, and adds back") {
  compare({1, 1, 7, 5, 8});
  compare({1, 3, 5, 4, 1});
  compare({2, 3, 4, 70, 3});
  compare({3, 1, 51, 33, 2});
}

TEST("adds thousands of slices in the order that is promised, wherever they are put") {
  for (const std::string& pattern : place_patterns()) {
    compare_sums(pattern, 5003, 4097, 3);  // two digits
    compare_sums(pattern, 200, 2048, 1);
  }
  compare_sums("mixed", 70001, 1025, 2);  // three digits
  compare_sums("mixed", 256, 2047, 129);  // a key past the last place takes a ninth bit
  compare_sums("mixed", 255, 2049, 33);
  compare_sums("same", 1, 4097, 1);
  compare_sums("same", 1, 1025, 130);
  compare_sums("mixed", 3, 70001, 1);  // more tiles than a warp has lanes
}

TEST("adds few slices the same way, of planes of many elements and of many planes") {
  for (const std::size_t count : {std::size_t{15}, std::size_t{16}, std::size_t{17}}) {
    compare_planes("mixed", {1, 140001, 3, count, 1});
  }
  compare_planes("distinct", {1, 2097153, 1, 1, 1});
  compare_planes("mixed", {1, 1100, 5, 255, 1});
  compare_planes("same", {1, 1030, 2, 256, 1});
  compare_planes("mixed", {1, 910, 7, 257, 1});
}

TEST("keeps batches and planes apart when it sorts") {
  compare_planes("mixed", {3, 2, 40, 1100, 5});
  compare_planes("some outside", {2, 3, 1030, 1030, 2});
  compare_planes("runs", {2, 1, 4, 1300, 140});
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
