// SPDX-License-Identifier: Apache-2.0
// The pieces of the one scratch an op may take: all are planned, then there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/core/device.h"

namespace dm::cuda {

class ScratchPlan {
 public:
  /// Plans a piece of so many bytes; the result stands for it.
  std::size_t add(std::int64_t bytes) {
    constexpr std::size_t kAlignment = 256;
    const std::size_t start = bytes_;
    bytes_ += (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
    return start;
  }

  /// Takes the scratch. False, with the device's status set, when there is none.
  bool take(Device& device) {
    start_ = static_cast<std::byte*>(device.scratch(bytes_));
    return device.status().ok();
  }

  /// A piece, 256-byte aligned, after take().
  void* at(std::size_t piece) const { return start_ + piece; }

 private:
  std::size_t bytes_ = 0;
  std::byte* start_ = nullptr;
};

}  // namespace dm::cuda
