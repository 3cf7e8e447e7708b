// SPDX-License-Identifier: Apache-2.0
// Factors of samples on the device: one product each, so exact.
#include <cstddef>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

TEST("multiplies each sample by its own factor, for counts by fours and not") {
  for (const std::size_t count : {std::size_t{1}, std::size_t{5}, std::size_t{16}, std::size_t{318}}) {
    constexpr std::size_t kBatch = 7;
    std::vector<float> x = noise(kBatch * count, 1);
    std::vector<float> factor{0, 1, 1.25f, 0, 2, -1, 0.5f};
    std::vector<float> y = unwritten(kBatch * count);
    CHECK_EQUAL(run_device_op("DmDropPath", {buffer_of(x), buffer_of(factor), buffer_of(y)},
                              {kBatch, static_cast<double>(count)}),
                "");
    for (std::size_t i = 0; i < y.size(); ++i) CHECK_EQUAL(y[i], x[i] * factor[i / count]);
  }
}

TEST("does nothing for an empty batch and says which buffer is too short") {
  std::vector<float> none;
  CHECK_EQUAL(run_device_op("DmDropPath", {buffer_of(none), buffer_of(none), buffer_of(none)}, {0, 0}),
              "");
  std::vector<float> x = noise(3, 1);
  CHECK_EQUAL(run_device_op("DmDropPath", {buffer_of(x), buffer_of(x), buffer_of(x)}, {1, 4}),
              "DmDropPath: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
}
