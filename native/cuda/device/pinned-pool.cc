// SPDX-License-Identifier: Apache-2.0
#include "cuda/device/pinned-pool.h"

#include <algorithm>

namespace dm::cuda {

namespace {

constexpr std::size_t kLeast = 4096;
constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Powers of two up to a MiB, then whole MiB.
std::size_t rounded(std::size_t bytes) {
  std::size_t power = kLeast;
  while (power < bytes && power < kMiB) power *= 2;
  return bytes <= power ? power : (bytes + kMiB - 1) / kMiB * kMiB;
}

}  // namespace

PinnedPool::~PinnedPool() {
  for (const auto& [stream, queue] : busy_) {
    for (const Busy& busy : queue) events_.give_back(busy.event);
  }
  for (const auto& [memory, bytes] : sizes_) cudaFreeHost(const_cast<void*>(memory));
}

void* PinnedPool::take(std::size_t bytes, cudaError_t& error) {
  error = cudaSuccess;
  const std::size_t wanted = rounded(bytes);
  collect(false);
  void* memory = take_idle(wanted);
  if (memory == nullptr && bytes_ + wanted > most_) {
    collect(true);
    memory = take_idle(wanted);
  }
  if (memory == nullptr) {
    error = cudaHostAlloc(&memory, wanted, cudaHostAllocDefault);
    if (error != cudaSuccess) return nullptr;
    sizes_[memory] = wanted;
    bytes_ += wanted;
  }
  taken_[memory] = bytes;
  return memory;
}

/// The smallest that holds it, unless it is far too large.
void* PinnedPool::take_idle(std::size_t bytes) {
  const auto found = idle_.lower_bound(bytes);
  if (found == idle_.end() || found->first > 2 * bytes) return nullptr;
  void* const memory = found->second;
  idle_.erase(found);
  return memory;
}

std::size_t PinnedPool::size(const void* memory) const {
  const auto found = taken_.find(memory);
  return found == taken_.end() ? 0 : std::max<std::size_t>(found->second, 1);
}

void PinnedPool::give_back(void* memory) {
  taken_.erase(memory);
  idle_.emplace(sizes_.at(memory), memory);
}

cudaEvent_t PinnedPool::give_back_after(void* memory, cudaStream_t stream, cudaError_t& error) {
  const cudaEvent_t event = events_.take(error);
  if (error != cudaSuccess) return nullptr;
  taken_.erase(memory);
  busy_[stream].push_back({memory, event});
  error = cudaEventRecord(event, stream);
  return event;
}

/// What is over becomes idle.
void PinnedPool::collect(bool wait) {
  for (auto& [stream, queue] : busy_) {
    while (!queue.empty()) {
      const Busy& oldest = queue.front();
      const bool passed = wait ? cudaEventSynchronize(oldest.event) == cudaSuccess
                               : Events::passed(oldest.event);
      if (!passed) break;
      events_.give_back(oldest.event);
      idle_.emplace(sizes_.at(oldest.memory), oldest.memory);
      queue.pop_front();
    }
  }
}

cudaError_t PinnedPool::trim() {
  collect(true);
  cudaError_t error = cudaSuccess;
  for (const auto& [bytes, memory] : idle_) {
    const cudaError_t freed = cudaFreeHost(memory);
    if (freed != cudaSuccess) error = freed;
    sizes_.erase(memory);
    bytes_ -= bytes;
  }
  idle_.clear();
  return error;
}

}  // namespace dm::cuda
