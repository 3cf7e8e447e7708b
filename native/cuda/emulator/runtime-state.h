// SPDX-License-Identifier: Apache-2.0
// What the functions of the emulated runtime share: the state of the machine, under one lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "cuda/emulator/cuda-runtime.h"
#include "cuda/emulator/streams.h"

namespace dm::cuda::emulator {

/// Everything that is there.
struct Runtime {
  std::recursive_mutex mutex;
  Scheduler scheduler;
  std::map<const char*, std::size_t> device, pinned;  ///< bytes of what was allocated, by its start
  std::size_t used = 0;
  std::map<const void*, std::size_t> most_shared;  ///< bytes, by kernel
};

/// Never destroyed: threads may outlive static destructors.
Runtime& runtime();

/// What cudaGetLastError answers this thread.
extern thread_local cudaError_t last_error;

/// Holds the lock for one function of the runtime, and keeps its error as the driver does: a fault that stays hides every other answer.
template <class Body>
cudaError_t call(const Body& body) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  cudaError_t error = runtime().scheduler.faulted() ? cudaErrorIllegalAddress : body();
  if (runtime().scheduler.faulted()) error = cudaErrorIllegalAddress;
  if (error != cudaSuccess) last_error = error;
  return error;
}

inline std::uint64_t order() { return machine().order; }

/// To the queue, or to the graph that is being recorded.
void put(Stream* stream, std::function<void()> run, bool bookkeeping = false);

/// What a stream that is recording refuses; the recording is lost then.
inline cudaError_t refuse(Stream* stream, cudaError_t error) {
  stream->capture_broken = true;
  return error;
}

}  // namespace dm::cuda::emulator
