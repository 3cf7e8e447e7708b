// SPDX-License-Identifier: Apache-2.0
// The pieces of the one scratch an op may take: all are planned, then there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cuda/core/device.h"
#include "cuda/core/red-zone.h"

namespace dm::cuda {

class ScratchPlan {
 public:
  /// Plans a piece of so many bytes; the result stands for it.
  std::size_t add(std::int64_t bytes) {
    constexpr std::size_t kAlignment = 256;
    const std::size_t start = bytes_;
    const std::size_t end = start + static_cast<std::size_t>(bytes);
    bytes_ = (end + kRedZone + kAlignment - 1) / kAlignment * kAlignment;
    if (kRedZone > 0) gaps_.emplace_back(end, bytes_ - end);
    return start;
  }

  /// Takes the scratch. False, with the device's status set, when there is none.
  bool take(Device& device) {
    start_ = static_cast<std::byte*>(device.scratch(bytes_));
    if (!device.status().ok()) return false;
    for (const auto& [start, bytes] : gaps_) device.hide(start_ + start, bytes);
    return true;
  }

  /// A piece, 256-byte aligned, after take().
  void* at(std::size_t piece) const { return start_ + piece; }

 private:
  std::size_t bytes_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> gaps_;  ///< between pieces: start, bytes
  std::byte* start_ = nullptr;
};

}  // namespace dm::cuda
