// SPDX-License-Identifier: Apache-2.0
// Lists that a kernel reads, and the memory behind them.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/core/device.h"

namespace dm::cuda {

/// Bytes of `count` elements, up to the next multiple of 256: so that what follows is aligned.
template <class T>
std::size_t padded_bytes(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(T) + 255) / 256 * 256;
}

/// Copies a list to scratch, in the order of the stream; `more` bytes follow it, at `padded_bytes<T>(list.size())`. Null after a fault.
template <class T>
T* upload_list(Device& device, const std::vector<T>& list, std::size_t more = 0) {
  const std::size_t bytes = padded_bytes<T>(static_cast<std::int64_t>(list.size()));
  void* const memory = device.scratch(bytes + more);
  if (memory == nullptr) return nullptr;
  device.upload(memory, list.data(), list.size() * sizeof(T));
  return static_cast<T*>(memory);
}

}  // namespace dm::cuda
