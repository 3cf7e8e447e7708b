// SPDX-License-Identifier: Apache-2.0
// The functions of the CUDA runtime that device/ calls, with their names and meaning, over the host's memory. Work that is put on a stream runs
// when somebody waits, as late as may be or as early, by DIFFMAVIL_EMULATOR_ORDER: 0 runs only what is waited for; 1 runs every other stream as
// far as it can go first; other numbers let streams take turns by chance. Copies from pinned memory read it when they run. Memory that is freed is
// filled with 0xCB, as is what is new. All of this is in namespace dm::cuda, so that the real runtime may be in the same process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "cuda/emulator/simt-emulator.h"

namespace dm::cuda {

namespace emulator {
struct Stream;
struct Event;
struct Recording;
struct Executable;

/// What the runtime tells of the machine. Tests change it.
struct Machine {
  int driver = 13000, runtime = 13000;
  int devices = 1;
  int major = 9, minor = 0;
  std::size_t memory = std::size_t{16} << 30;
  std::size_t most_shared = 99 * 1024;  ///< of a block, once asked for: what 8.6 and 8.9 have, where code for 8.0 runs as well
  int busy = -1;                        ///< a device that somebody else holds alone
  std::uint64_t order = 0;
  bool kernels = true;  ///< false: kernels do nothing, and memory is not filled; to time what the host does
};
/// As the environment says, at first: DIFFMAVIL_EMULATOR_ORDER, DIFFMAVIL_EMULATOR_MEMORY (bytes), DIFFMAVIL_EMULATOR_KERNELS (0: none),
/// DIFFMAVIL_EMULATOR_FAULT (as `fault_at`).
Machine& machine();

/// The `count`th kernel or copy to run from now on (1: the next) faults as a bad address does: it does nothing, and from then on every
/// function answers that fault, until `repair`. 0: none does.
void fault_at(int count);
void repair();
}  // namespace emulator

enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905
};

namespace emulator {
/// Puts a kernel on a stream; refuses blocks of too many threads, or of more shared memory than the kernel may have.
cudaError_t enqueue(void* stream, const void* kernel, const Launch& size, std::function<void()> run);
cudaError_t set_most_shared(const void* kernel, int bytes);
}  // namespace emulator

enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDefault = 0;
constexpr unsigned cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;

using cudaStream_t = emulator::Stream*;
using cudaEvent_t = emulator::Event*;
using cudaGraph_t = emulator::Recording*;
using cudaGraphExec_t = emulator::Executable*;

struct cudaDeviceProp {
  char name[256];
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  return emulator::set_most_shared(reinterpret_cast<const void*>(kernel), bytes);
}

cudaError_t cudaMalloc(void** data, std::size_t bytes);
/// Waits for every stream.
cudaError_t cudaFree(void* data);
cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* data, int byte, std::size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);

}  // namespace dm::cuda
