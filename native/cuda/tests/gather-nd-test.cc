// SPDX-License-Identifier: Apache-2.0
// Slices by indices of several axes on the device.
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

constexpr std::size_t kSlices = 70;
constexpr std::size_t kWidth = 5;
constexpr std::size_t kRows = 4;
constexpr std::size_t kColumns = 7;

/// Numbers after the first: N, R, C, P and the steps of a [4, 7] grid of slices.
std::vector<double> numbers(double first) {
  return {first, kSlices, 2, kWidth, kRows * kColumns, kColumns, 1};
}

Ints grid_indices() {
  Ints indices;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kSlices); ++i) {
    const std::int32_t place = i / 3;  // neighbours are put at the same
    indices.push_back(place * 3 % 4);
    indices.push_back((place * 5 + 1) % 6);  // the last column is never put at
  }
  return indices;
}

std::size_t place_of(const Ints& indices, std::size_t i) {
  return static_cast<std::size_t>(indices[2 * i]) * kColumns +
         static_cast<std::size_t>(indices[2 * i + 1]);
}

/// ScatterNd of `count` slices of V, wrapping around where that is unsigned.
template <class V>
void compare_sums(double dtype, std::vector<V> updates, const std::string& pattern,
                  std::size_t targets, std::size_t count) {
  Ints indices = places_of(pattern, count, targets);
  const std::size_t width = updates.size() / count;
  std::vector<V> y(targets * width, V{99});
  CHECK_EQUAL(run_device_op("ScatterNd", {buffer_of(indices), buffer_of(updates), buffer_of(y)},
                            {dtype, static_cast<double>(count), 1, static_cast<double>(width),
                             static_cast<double>(targets), 1}),
              "");
  CHECK((y == Scattered<V>(updates, indices, 1, targets, width).in_order));
}

/// TensorScatterUpdate of `count` slices of V.
template <class V>
void compare_updates(std::vector<V> updates, const std::string& pattern, std::size_t targets,
                     std::size_t count) {
  Ints indices = places_of(pattern, count, targets);
  const std::size_t width = updates.size() / count;
  std::vector<V> tensor(targets * width, V{7});
  std::vector<V> wanted = tensor;
  for (std::size_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(static_cast<std::uint32_t>(indices[i]));
    for (std::size_t c = 0; place < targets && c < width; ++c) {
      wanted[place * width + c] = updates[i * width + c];
    }
  }
  std::vector<V> y(tensor.size(), V{99});
  CHECK_EQUAL(run_device_op("TensorScatterUpdate",
                            {buffer_of(tensor), buffer_of(indices), buffer_of(updates), buffer_of(y)},
                            {static_cast<double>(sizeof(V)), static_cast<double>(count), 1,
                             static_cast<double>(width), static_cast<double>(targets), 1}),
              "");
  CHECK(y == wanted);
}

/// Words of all bits.
std::vector<std::uint32_t> words(std::size_t count) {
  std::vector<std::uint32_t> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<std::uint32_t>(i) * 2654435761u;
  return result;
}

}  // namespace

TEST("gathers, adds up in rising order, and lets the last of equal places hold") {
  Ints indices = grid_indices();
  std::vector<float> tensor = noise(kRows * kColumns * kWidth, 1);
  std::vector<float> updates = noise(kSlices * kWidth, 2);
  std::vector<float> gathered = unwritten(updates.size());
  std::vector<float> sums = unwritten(tensor.size());
  std::vector<float> updated = unwritten(tensor.size());
  CHECK_EQUAL(run_device_op("GatherNd", {buffer_of(tensor), buffer_of(indices), buffer_of(gathered)},
                            numbers(4)),
              "");
  CHECK_EQUAL(run_device_op("ScatterNd", {buffer_of(indices), buffer_of(updates), buffer_of(sums)},
                            numbers(0)),
              "");
  CHECK_EQUAL(run_device_op("TensorScatterUpdate",
                            {buffer_of(tensor), buffer_of(indices), buffer_of(updates),
                             buffer_of(updated)},
                            numbers(4)),
              "");
  std::vector<float> expected_sums(tensor.size(), 0.0f);
  std::vector<float> expected = tensor;
  for (std::size_t i = 0; i < kSlices; ++i) {
    for (std::size_t c = 0; c < kWidth; ++c) {
      const std::size_t at = place_of(indices, i) * kWidth + c;
      CHECK_EQUAL(gathered[i * kWidth + c], tensor[at]);
      expected_sums[at] += updates[i * kWidth + c];
      expected[at] = updates[i * kWidth + c];
    }
  }
  CHECK(sums == expected_sums);
  CHECK(updated == expected);
}

TEST("sorts thousands of places, and adds up or lets the last hold") {
  for (const std::string& pattern : place_patterns()) {
    compare_sums(0, noise(4097 * 2, 5), pattern, 300, 4097);
    compare_sums(1, words(1025 * 3), pattern, 65537, 1025);
    compare_updates(noise(4097 * 3, 6), pattern, 5003, 4097);
    compare_updates(std::vector<std::uint8_t>{}, pattern, 5, 1);  // slices of nothing
  }
  std::vector<std::uint8_t> bytes(2049 * 5);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 / 3);
  compare_updates(bytes, "some outside", 31, 2049);
  compare_updates(bytes, "same", 2, 2049);
}

TEST("sorts by indices of two axes") {
  constexpr std::size_t kMany = 1500;
  Ints indices;
  Ints places;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kMany); ++i) {
    indices.push_back(i % 5 - (i % 301 == 0 ? 20 : 0));  // some before the first place
    indices.push_back(i / 5 % 7);
    places.push_back(indices[indices.size() - 2] * 7 + indices.back());
  }
  std::vector<float> updates = noise(kMany * 2, 8);
  std::vector<float> y = unwritten(35 * 2);
  CHECK_EQUAL(run_device_op("ScatterNd", {buffer_of(indices), buffer_of(updates), buffer_of(y)},
                            {0, kMany, 2, 2, 35, 7, 1}),
              "");
  CHECK((y == Scattered<float>(updates, places, 1, 35, 2).in_order));
}

TEST("gives 0 for a place outside, and puts nothing there") {
  std::vector<float> tensor{1, 2, 3, 4};  // three places: the fourth element is not one
  Ints indices{2, 3, -1};
  std::vector<float> y = unwritten(3);
  CHECK_EQUAL(run_device_op("GatherNd", {buffer_of(tensor), buffer_of(indices), buffer_of(y)},
                            {4, 3, 1, 1, 3, 1}),
              "");
  CHECK((y == std::vector<float>{3, 0, 0}));
  CHECK_EQUAL(run_device_op("ScatterNd", {buffer_of(indices), buffer_of(tensor), buffer_of(y)},
                            {0, 3, 1, 1, 3, 1}),
              "");
  CHECK((y == std::vector<float>{0, 0, 1}));
}

TEST("moves bytes, and refuses to add bools") {
  std::vector<std::uint8_t> tensor{1, 2, 3};
  std::vector<std::uint8_t> updates{9, 8};
  Ints indices{0, 2};
  std::vector<std::uint8_t> y(3);
  CHECK_EQUAL(run_device_op("TensorScatterUpdate",
                            {buffer_of(tensor), buffer_of(indices), buffer_of(updates), buffer_of(y)},
                            {1, 2, 1, 1, 3, 1}),
              "");
  CHECK((y == std::vector<std::uint8_t>{9, 2, 8}));
  CHECK_EQUAL(run_device_op("ScatterNd", {buffer_of(indices), buffer_of(updates), buffer_of(y)},
                            {2, 2, 1, 1, 3, 1}),
              "ScatterNd: expected float32 or int32, got bool");
}
