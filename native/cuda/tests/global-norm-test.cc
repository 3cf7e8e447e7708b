// SPDX-License-Identifier: Apache-2.0
// The norm over several tensors on the device against float64.
#include <cmath>
#include <cstddef>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

void compare(const std::vector<std::size_t>& counts) {
  std::vector<std::vector<float>> tensors;
  std::vector<dm::Buffer> buffers;
  std::vector<double> numbers;
  double squares = 0;
  for (const std::size_t count : counts) {
    tensors.push_back(noise(count, static_cast<unsigned>(count)));
    for (const float value : tensors.back()) {
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    numbers.push_back(static_cast<double>(count));
  }
  for (auto& tensor : tensors) buffers.push_back(buffer_of(tensor));
  std::vector<float> norm = unwritten(1);
  buffers.push_back(buffer_of(norm));
  CHECK_EQUAL(run_device_op("DmGlobalNorm", buffers, numbers), "");
  CHECK_ERROR(std::abs(static_cast<double>(norm[0]) / std::sqrt(squares) - 1), 1e-6);
}

}  // namespace

TEST("is within 1e-6 of float64 for lengths around a chunk and empty ones between") {
  compare({1});
  compare({3, 16384, 0, 17, 16385, 0});
  compare({51, 40001});
}

TEST("is 0 of nothing") {
  std::vector<float> norm = unwritten(1);
  CHECK_EQUAL(run_device_op("DmGlobalNorm", {buffer_of(norm)}, {}), "");
  CHECK_EQUAL(norm[0], 0.0f);
}

TEST("says how many buffers it wants") {
  std::vector<float> norm = unwritten(1);
  CHECK_EQUAL(run_device_op("DmGlobalNorm", {buffer_of(norm)}, {1}),
              "DmGlobalNorm: expected 2 buffers, got 1");
}
