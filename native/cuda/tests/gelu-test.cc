// SPDX-License-Identifier: Apache-2.0
// GELU on the device against float64, and against the arithmetic of the CPU op.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "cpu/simd/gelu.h"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

/// Numbers of -range..range.
std::vector<float> spread(std::size_t count, float range) {
  std::vector<float> x = noise(count, 1);
  for (float& value : x) value *= range;
  return x;
}

/// How far two float32 are apart, in units of the last place of b or of what b is a difference of.
double steps_between(float a, float b, float of = 0) {
  const float largest = std::max(std::abs(b), std::abs(of));
  const double ulp = static_cast<double>(std::nextafter(largest, 1e30f) - largest);
  return std::abs(static_cast<double>(a) - static_cast<double>(b)) / ulp;
}

struct Run {
  std::vector<float> x, y, dx;
};

/// dx of dy = 2.
Run run(const std::vector<float>& values) {
  Run r{values, unwritten(values.size()), unwritten(values.size())};
  std::vector<float> dy(values.size(), 2.0f);
  const std::vector<double> numbers{static_cast<double>(values.size())};
  CHECK_EQUAL(run_device_op("DmGelu", {buffer_of(r.x), buffer_of(r.y)}, numbers), "");
  CHECK_EQUAL(run_device_op("DmGeluGrad", {buffer_of(dy), buffer_of(r.x), buffer_of(r.dx)}, numbers),
              "");
  return r;
}

/// GELU of x[1] .. x[count], in memory that begins 4 bytes after a boundary.
std::vector<float> run_from_second(const std::vector<float>& x, std::size_t count) {
  dm::cuda::Device& device = dm::test::device();
  const std::size_t bytes = (count + 1) * sizeof(float);
  auto* const from = static_cast<float*>(device.allocate(bytes));
  auto* const to = static_cast<float*>(device.allocate(bytes));
  device.upload(from, x.data(), bytes);
  dm::Buffer in{from + 1, bytes - sizeof(float)};
  dm::Buffer out{to + 1, bytes - sizeof(float)};
  dm::Buffer* const buffers[] = {&in, &out};
  const double number = static_cast<double>(count);
  const auto& table = dm::cuda::device_op_table();
  const auto id = static_cast<std::size_t>(table.find("DmGelu"));
  CHECK_EQUAL(table.run(device, id, {buffers, 2, &number, 1}).message(), "");
  std::vector<float> y(count);
  device.download(y.data(), to + 1, bytes - sizeof(float));
  device.release(from);
  device.release(to);
  return y;
}

}  // namespace

TEST("is within 6e-7 of x Phi(x) and of its slope in float64, over six standard deviations") {
  const Run r = run(spread(4096, 6));
  double value = 0;
  double slope = 0;
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    const auto x = static_cast<double>(r.x[i]);
    const double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
    const double density = std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
    value = std::max(value, std::abs(static_cast<double>(r.y[i]) - x * cdf));
    slope = std::max(slope, std::abs(static_cast<double>(r.dx[i]) - 2 * (cdf + x * density)) / 2);
  }
  CHECK_ERROR(value, 6e-7);
  CHECK_ERROR(slope, 4e-7);
}

TEST("is within 6 units in the last place of the CPU op, into the tails") {
  // The same formula, but here products are fused with sums.
  const Run r = run(spread(4096, 20));
  double value = 0;
  double slope = 0;
  for (std::size_t i = 0; i < r.x.size(); ++i) {
    value = std::max(value, steps_between(r.y[i], dm::cpu::gelu_float(r.x[i])));
    const float term = 2 * r.x[i] * 0.398942280f * std::exp(-0.5f * r.x[i] * r.x[i]);
    slope = std::max(slope, steps_between(r.dx[i], 2.0f * dm::cpu::gelu_slope(r.x[i]), term));
  }
  CHECK_ERROR(value, 6.0);
  CHECK_ERROR(slope, 6.0);
}

TEST("gives the same for any count, and for memory that is not aligned to four") {
  const Run all = run(spread(2050, 3));
  for (const std::size_t count : {std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{17},
                                  std::size_t{1025}}) {
    const auto begin = all.x.begin() + 1;
    const Run some = run({begin, begin + static_cast<std::ptrdiff_t>(count)});
    const std::vector<float> shifted = run_from_second(all.x, count);
    for (std::size_t i = 0; i < count; ++i) {
      CHECK_EQUAL(some.y[i], all.y[i + 1]);
      CHECK_EQUAL(shifted[i], all.y[i + 1]);
    }
  }
}

TEST("says which buffer is too short") {
  std::vector<float> x = noise(3, 1);
  CHECK_EQUAL(run_device_op("DmGelu", {buffer_of(x), buffer_of(x)}, {4}),
              "DmGelu: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
}
