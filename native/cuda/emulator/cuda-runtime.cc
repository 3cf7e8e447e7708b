// SPDX-License-Identifier: Apache-2.0
// The machine: launches, faults, devices, memory. Streams, events and graphs are in cuda-streams.cc.
#include "cuda/emulator/cuda-runtime.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/emulator/bounds.h"
#include "cuda/emulator/runtime-state.h"

#ifdef DM_EMULATOR_BOUNDS
#include <sanitizer/asan_interface.h>
#endif

namespace dm::cuda {

namespace {

using emulator::call;
using emulator::last_error;
using emulator::machine;
using emulator::order;
using emulator::put;
using emulator::refuse;
using emulator::runtime;
using emulator::Stream;

constexpr int kPoison = 0xCB;
constexpr std::size_t kDeviceAlignment = 256;
constexpr std::size_t kPage = 4096;
constexpr int kMostThreads = 1024;
constexpr std::size_t kGivenShared = 48 * 1024;  // to a kernel for which no more was asked

bool is_pinned(const void* data) {
  const auto* const byte = static_cast<const char*>(data);
  const auto next = runtime().pinned.upper_bound(byte);
  if (next == runtime().pinned.begin()) return false;
  const auto& [start, bytes] = *std::prev(next);
  return byte < start + bytes;
}

void* allocate_filled(std::size_t alignment, std::size_t bytes) {
  void* const data = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (data != nullptr && machine().kernels) std::memset(data, kPoison, bytes);
  return data;
}

std::size_t from_environment(const char* name, std::size_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

}  // namespace

namespace emulator {

thread_local cudaError_t last_error = cudaSuccess;

Runtime& runtime() {
  static Runtime& made = *new Runtime;
  return made;
}

void put(Stream* stream, std::function<void()> run, bool bookkeeping) {
  Work work{std::move(run), bookkeeping};
  if (stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
  } else {
    stream->queue.push_back({std::move(work), {}, {}});
  }
}

Machine& machine() {
  static Machine& made = *[] {
    auto* machine = new Machine;
    machine->order = from_environment("DIFFMAVIL_EMULATOR_ORDER", 0);
    machine->memory = from_environment("DIFFMAVIL_EMULATOR_MEMORY", machine->memory);
    machine->kernels = from_environment("DIFFMAVIL_EMULATOR_KERNELS", 1) != 0;
    fault_at(static_cast<int>(from_environment("DIFFMAVIL_EMULATOR_FAULT", 0)));
    return machine;
  }();
  return made;
}

cudaError_t enqueue(void* stream, const void* kernel, const Launch& size, std::function<void()> run) {
  static_cast<void>(call([&] {
    const auto asked = runtime().most_shared.find(kernel);
    const bool more = asked != runtime().most_shared.end();
    if (size.threads > kMostThreads) return cudaErrorInvalidConfiguration;
    if (size.shared_bytes > (more ? asked->second : kGivenShared)) return cudaErrorInvalidValue;
    if (machine().kernels) put(static_cast<Stream*>(stream), std::move(run));
    return cudaSuccess;
  }));
  // A launch answers nothing by itself: programs look at the last error, whoever left it there.
  return last_error;
}

cudaError_t set_most_shared(const void* kernel, int bytes) {
  return call([&] {
    if (bytes < 0 || static_cast<std::size_t>(bytes) > machine().most_shared) {
      return cudaErrorInvalidValue;
    }
    runtime().most_shared[kernel] = static_cast<std::size_t>(bytes);
    return cudaSuccess;
  });
}

void permit([[maybe_unused]] Stream* stream, [[maybe_unused]] const void* data,
            [[maybe_unused]] std::size_t bytes) {
#ifdef DM_EMULATOR_BOUNDS
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  put(stream, [=] { __asan_unpoison_memory_region(data, bytes); }, true);
#endif
}

void forbid([[maybe_unused]] Stream* stream, [[maybe_unused]] const void* data,
            [[maybe_unused]] std::size_t bytes) {
#ifdef DM_EMULATOR_BOUNDS
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  put(stream, [=] { __asan_poison_memory_region(data, bytes); }, true);
#endif
}

void fault_at(int count) {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().scheduler.fault_at(count);
}

void repair() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().scheduler.repair();
  last_error = cudaSuccess;
}

}  // namespace emulator

// ---- the machine -------------------------------------------------------------------------------------------------------------------

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorDevicesUnavailable:
      return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    default:
      return "invalid argument";
  }
}

cudaError_t cudaGetLastError() {
  const std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  const cudaError_t error = std::exchange(last_error, cudaSuccess);
  return runtime().scheduler.faulted() ? cudaErrorIllegalAddress : error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([=] {
    if (machine().driver < machine().runtime) return cudaErrorInsufficientDriver;
    if (machine().devices == 0) return cudaErrorNoDevice;
    *count = machine().devices;
    return cudaSuccess;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = machine().runtime;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return call([=] {
    if (device == machine().busy) return cudaErrorDevicesUnavailable;
    return device < machine().devices ? cudaSuccess : cudaErrorInvalidDevice;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device >= machine().devices) return cudaErrorInvalidDevice;
  constexpr int kMultiprocessors = 4;
  *value = attribute == cudaDevAttrMultiProcessorCount      ? kMultiprocessors
           : attribute == cudaDevAttrComputeCapabilityMajor ? machine().major
                                                            : machine().minor;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "emulator");
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([=] {
    *total = machine().memory;
    *free = machine().memory - runtime().used;
    return cudaSuccess;
  });
}

// ---- memory ------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  *data = nullptr;
  return call([=] {
    if (runtime().used + bytes > machine().memory) return cudaErrorMemoryAllocation;
    *data = allocate_filled(kDeviceAlignment, bytes);
    if (*data == nullptr) return cudaErrorMemoryAllocation;
#ifdef DM_EMULATOR_BOUNDS
    __asan_poison_memory_region(*data, bytes);
#endif
    runtime().device[static_cast<char*>(*data)] = bytes;
    runtime().used += bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* data) {
  return call([=] {
    const auto found = runtime().device.find(static_cast<char*>(data));
    if (found == runtime().device.end()) return cudaErrorInvalidValue;
    runtime().scheduler.drain_all(order());
#ifdef DM_EMULATOR_BOUNDS
    __asan_unpoison_memory_region(data, found->second);
#endif
    std::memset(data, kPoison, found->second);
    runtime().used -= found->second;
    runtime().device.erase(found);
    std::free(data);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  *data = nullptr;
  return call([=] {
    *data = allocate_filled(kPage, bytes);
    if (*data == nullptr) return cudaErrorMemoryAllocation;
    runtime().pinned[static_cast<char*>(*data)] = bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* data) {
  return call([=] {
    const auto found = runtime().pinned.find(static_cast<char*>(data));
    if (found == runtime().pinned.end()) return cudaErrorInvalidValue;
    std::memset(data, kPoison, found->second);
    runtime().pinned.erase(found);
    std::free(data);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call([=] {
    if (bytes == 0) return cudaSuccess;
    if (is_pinned(kind == cudaMemcpyHostToDevice ? from : to)) {
      put(stream, [=] { std::memcpy(to, from, bytes); });
      return cudaSuccess;
    }
    // Host memory that is not pinned is done with when the call returns; a graph would read it at some later time.
    if (stream->capture != nullptr) return refuse(stream, cudaErrorStreamCaptureUnsupported);
    if (kind == cudaMemcpyHostToDevice) {
      const auto* const start = static_cast<const char*>(from);
      const auto copy = std::make_shared<std::vector<char>>(start, start + bytes);
      put(stream, [=] { std::memcpy(to, copy->data(), bytes); });
      return cudaSuccess;
    }
    runtime().scheduler.drain(stream, order());
    if (!runtime().scheduler.faulted()) std::memcpy(to, from, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* data, int byte, std::size_t bytes, cudaStream_t stream) {
  return call([=] {
    put(stream, [=] { std::memset(data, byte, bytes); });
    return cudaSuccess;
  });
}

}  // namespace dm::cuda
