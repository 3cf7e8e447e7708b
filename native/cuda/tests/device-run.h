// SPDX-License-Identifier: Apache-2.0
// Runs a device op on vectors: on the emulator here, on a GPU where a device is given. Outputs begin as NaN, so that what is not written shows.
#pragma once

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/core/device.h"

namespace dm::test {

/// The emulated device of this run's schedule.
inline cuda::Device& device() {
  static const char* const order = std::getenv("DIFFMAVIL_EMULATOR_ORDER");
  static const auto made = cuda::make_emulated_device(
      order == nullptr ? 0 : std::strtoull(order, nullptr, 10));
  return *made;
}

template <typename T>
Buffer buffer_of(std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T), false};
}

/// The op's complaint; empty when there is none.
inline std::string run_device_op(const char* name, std::vector<Buffer> buffers,
                                 const std::vector<double>& numbers) {
  const int id = cuda::device_op_table().find(name);
  if (id < 0) return std::string("no op ") + name;
  std::vector<Buffer*> pointers;
  for (Buffer& buffer : buffers) pointers.push_back(&buffer);
  return cuda::device_op_table()
      .run(device(), static_cast<std::size_t>(id),
           {pointers.data(), pointers.size(), numbers.data(), numbers.size()})
      .message();
}

/// `count` floats nobody has written.
inline std::vector<float> unwritten(std::size_t count) {
  return std::vector<float>(count, std::numeric_limits<float>::quiet_NaN());
}

/// Numbers in -1..1 that depend on place and salt alone.
inline std::vector<float> noise(std::size_t count, unsigned salt) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    unsigned word = static_cast<unsigned>(i) * 2654435761u + salt * 0x9E3779B9u;
    word ^= word >> 15;
    word *= 0x2C1B3C6Du;
    word ^= word >> 12;
    result[i] = static_cast<float>(word >> 8) / 8388608.0f - 1.0f;
  }
  return result;
}

/// Norm of the difference over norm of the expected values; infinite where a value is not a number or sizes differ.
template <typename A, typename B>
double relative_error(const std::vector<A>& got, const std::vector<B>& expected) {
  if (got.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double wanted = static_cast<double>(expected[i]);
    const double off = static_cast<double>(got[i]) - wanted;
    difference += off * off;
    norm += wanted * wanted;
  }
  const double error = norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

}  // namespace dm::test

/// Reports the figure as well as the bound.
#define CHECK_ERROR(error, bound)                                                         \
  do {                                                                                    \
    const double error_ = (error);                                                        \
    if (!(error_ <= (bound))) {                                                           \
      dm::test::report(__FILE__, __LINE__, std::string("expected " #error " <= " #bound ", got ") + \
                                               std::to_string(error_));                   \
    }                                                                                     \
  } while (false)
