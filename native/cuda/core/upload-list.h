// SPDX-License-Identifier: Apache-2.0
// Lists that a kernel reads, and the memory behind them.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/core/device.h"
#include "cuda/core/red-zone.h"

namespace dm::cuda {

/// Bytes of `count` elements and of the red zone behind them, up to the next multiple of 256: so that what follows is aligned.
template <class T>
std::size_t padded_bytes(std::int64_t count) {
  return (static_cast<std::size_t>(count) * sizeof(T) + kRedZone + 255) / 256 * 256;
}

/// Copies a list to scratch, in the order of the stream; `more` bytes follow it, at `padded_bytes<T>(list.size())`. Null after a fault.
template <class T>
T* upload_list(Device& device, const std::vector<T>& list, std::size_t more = 0) {
  const std::size_t bytes = padded_bytes<T>(static_cast<std::int64_t>(list.size()));
  auto* const memory = static_cast<std::byte*>(device.scratch(bytes + more));
  if (memory == nullptr) return nullptr;
  const std::size_t own = list.size() * sizeof(T);
  device.upload(memory, list.data(), own);
  device.hide(memory + own, bytes - own);
  return reinterpret_cast<T*>(memory);
}

}  // namespace dm::cuda
