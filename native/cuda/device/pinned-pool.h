// SPDX-License-Identifier: Apache-2.0
// Pinned host memory that copies to and from the device go through. A block that a copy uses is taken again once the copy's event has passed;
// when none is idle there is a new one; past kMost bytes the copies under way are waited for first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>

#include "cuda/device/events.h"

namespace dm::cuda {

class PinnedPool {
 public:
  static constexpr std::size_t kMost = std::size_t{1} << 30;

  explicit PinnedPool(Events& events, std::size_t most = kMost) : events_(events), most_(most) {}
  /// Everything has to be over.
  ~PinnedPool();
  PinnedPool(const PinnedPool&) = delete;
  PinnedPool& operator=(const PinnedPool&) = delete;

  /// Page-aligned. Null, with `error` set, when there is none.
  void* take(std::size_t bytes, cudaError_t& error);
  /// Bytes of a block that is taken; 0 for anything else.
  std::size_t size(const void* memory) const;
  /// Nothing uses it any more.
  void give_back(void* memory);
  /// The work that is on `stream` now uses it. The event behind that work, for others to wait for at once.
  cudaEvent_t give_back_after(void* memory, cudaStream_t stream, cudaError_t& error);
  /// Waits for the copies under way, and gives every idle block back to the driver.
  cudaError_t trim();

  /// Of all blocks, taken or idle.
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Busy {
    void* memory;
    cudaEvent_t event;
  };

  void collect(bool wait);
  void* take_idle(std::size_t bytes);

  Events& events_;
  std::size_t most_;
  std::uint64_t bytes_ = 0;
  std::unordered_map<const void*, std::size_t> taken_;
  std::multimap<std::size_t, void*> idle_;
  std::map<cudaStream_t, std::deque<Busy>> busy_;  ///< in the order of each stream
  std::unordered_map<const void*, std::size_t> sizes_;
};

}  // namespace dm::cuda
