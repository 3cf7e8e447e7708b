// SPDX-License-Identifier: Apache-2.0
// Runs a device op on vectors, on the emulator or on a GPU, as the program is linked. Outputs begin as NaN, so that what is not written shows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "buffers.h"
#include "check.h"
#include "cuda/core/device.h"

namespace dm::test {

/// The device of the library this program is linked with: the emulator, or the first GPU.
inline cuda::DeviceContext& device() {
  static std::unique_ptr<cuda::DeviceContext> made;
  if (made == nullptr) {
    const Status status = cuda::open_device(0, made);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      std::exit(77);
    }
  }
  return *made;
}

/// A host buffer's copy on the device, while it lives.
class DeviceCopy {
 public:
  explicit DeviceCopy(const Buffer& host) : host_(host), data_(device().allocate(host.bytes)) {
    device().upload(data_, host.data, host.bytes);
  }
  template <typename T>
  explicit DeviceCopy(std::vector<T>& values) : DeviceCopy(buffer_of(values)) {}
  ~DeviceCopy() { device().release(data_); }
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;

  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data_); }
  /// Copies it back.
  void fetch() const { device().download(host_.data, data_, host_.bytes); }

 private:
  Buffer host_;
  void* data_;
};

/// Copies the buffers to a device, runs the op, copies all of them back. The op's complaint; empty when there is none.
inline std::string run_op_on(cuda::Device& on, const char* name, std::vector<Buffer> buffers,
                             const std::vector<double>& numbers) {
  const int id = cuda::device_op_table().find(name);
  if (id < 0) return std::string("no op ") + name;
  std::vector<Buffer> there(buffers.size());
  std::vector<Buffer*> pointers;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    // The same vector given twice is one buffer on the device too: ops may work in place.
    const auto same = std::find_if(buffers.begin(), buffers.begin() + static_cast<std::ptrdiff_t>(i),
                                   [&](const Buffer& b) { return b.data == buffers[i].data; });
    const auto first = static_cast<std::size_t>(same - buffers.begin());
    there[i] = {first < i ? there[first].data : on.allocate(buffers[i].bytes), buffers[i].bytes, false};
    on.upload(there[i].data, buffers[i].data, buffers[i].bytes);
    pointers.push_back(&there[i]);
  }
  const Status status = cuda::device_op_table().run(
      on, static_cast<std::size_t>(id),
      {pointers.data(), pointers.size(), numbers.data(), numbers.size()});
  on.clear();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    on.download(buffers[i].data, there[i].data, buffers[i].bytes);
  }
  std::vector<void*> freed;
  for (const Buffer& buffer : there) {
    if (std::find(freed.begin(), freed.end(), buffer.data) != freed.end()) continue;
    on.release(buffer.data);
    freed.push_back(buffer.data);
  }
  if (!status.ok()) return status.message();
  return on.status().message();
}

/// The same on the device of this program.
inline std::string run_device_op(const char* name, std::vector<Buffer> buffers,
                                 const std::vector<double>& numbers) {
  return run_op_on(device(), name, std::move(buffers), numbers);
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
