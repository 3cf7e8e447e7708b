// SPDX-License-Identifier: Apache-2.0
// The device's life, its faults, and what goes on around ops.
#include "cuda/device/cuda-device.h"

#include <string>
#include <utility>

#include "cuda/device/nvtx.h"

namespace dm::cuda {

cudaError_t CudaDevice::open(int index, const CudaDeviceOptions& options,
                             std::unique_ptr<CudaDevice>& device) {
  int multiprocessors = 0;
  cudaStream_t work = nullptr;
  cudaStream_t copies = nullptr;
  cudaEvent_t probe = nullptr;
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index);
  }
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&work, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaEventCreateWithFlags(&probe, cudaEventDisableTiming);
  if (error == cudaSuccess) {
    device.reset(new CudaDevice(index, options, work, copies, probe, multiprocessors));
    return error;
  }
  if (copies != nullptr) static_cast<void>(cudaStreamDestroy(copies));
  if (work != nullptr) static_cast<void>(cudaStreamDestroy(work));
  return error;
}

CudaDevice::CudaDevice(int index, const CudaDeviceOptions& options, cudaStream_t work,
                       cudaStream_t copies, cudaEvent_t probe, int multiprocessors)
    : index_(index),
      options_(options),
      work_(work),
      copies_(copies),
      probe_(probe),
      multiprocessors_(multiprocessors),
      timeline_(events_, work),
      pinned_(events_),
      allocator_(*this) {}

CudaDevice::~CudaDevice() {
  enter();
  if (capture_ != nullptr) drop(*end_recording());
  static_cast<void>(cudaStreamSynchronize(copies_));
  static_cast<void>(cudaStreamSynchronize(work_));
  library_.reset();
  while (!graphs_.empty()) graph_destroy(*graphs_.begin());
  shadows().clear();
  while (!fetches_.empty()) fetch_end(*fetches_.begin());
  for (cudaEvent_t event : begun_) static_cast<void>(cudaEventDestroy(event));
  static_cast<void>(cudaEventDestroy(probe_));
  static_cast<void>(cudaStreamDestroy(copies_));
  static_cast<void>(cudaStreamDestroy(work_));
}

// ---- faults ------------------------------------------------------------------------------------------------------------------------

bool CudaDevice::check(const char* where, cudaError_t error) {
  if (error == cudaSuccess) return true;
  const std::string said = cudaGetErrorString(error);
  if (notice_loss()) {
    fail(loss(where, said));
  } else {
    const StatusCode code =
        error == cudaErrorMemoryAllocation ? StatusCode::kOutOfMemory : StatusCode::kInternal;
    fail({code, std::string(where) + ": expected success of the CUDA driver, got " + said});
  }
  return false;
}

/// Whether an error has come to stay.
bool CudaDevice::notice_loss() {
  static_cast<void>(cudaGetLastError());
  const cudaError_t now = cudaEventQuery(probe_);
  lost_ = lost_ || (now != cudaSuccess && now != cudaErrorNotReady);
  return lost_;
}

Status CudaDevice::loss(const char* where, const std::string& said) const {
  return {StatusCode::kInternal, std::string(where) +
                                     ": expected what was started before to end well, got '" + said +
                                     "' (the last op started was " + last_op_ +
                                     "). Try: DIFFMAVIL_CUDA_SYNC=1, which names the op that did it"};
}

void CudaDevice::launched(const char* error) {
  if (error == nullptr) {
    timeline_.started();
  } else if (notice_loss()) {
    fail(loss("launch", error));
  } else {
    Device::launched(error);
  }
}

// ---- around ops --------------------------------------------------------------------------------------------------------------------

void CudaDevice::op_begins(const char* name) {
  last_op_ = name;
  nvtx_push(name);
}

void CudaDevice::op_ends() {
  nvtx_pop();
  if (capture_ != nullptr) return;
  if (options_.wait_for_ops) {
    const cudaError_t ended = cudaStreamSynchronize(work_);
    if (ended != cudaSuccess) {
      notice_loss();
      fail({StatusCode::kInternal, std::string("expected its kernels to end well, got '") +
                                       cudaGetErrorString(ended) +
                                       "'. Try: compute-sanitizer, which names the line"});
    }
  }
  check("run", timeline_.may_mark());
}

bool CudaDevice::multiply(const LibraryProduct& product) {
  if (!library_sought_ && options_.library && capture_ == nullptr) {
    library_sought_ = true;
    library_ = CublasLt::from_environment(*this, *this);
  }
  if (library_ == nullptr || !library_->multiply(product)) return false;
  timeline_.started();
  return true;
}

void CudaDevice::range_push(const char* name) { nvtx_push(name); }

void CudaDevice::range_pop() { nvtx_pop(); }

// ---- time --------------------------------------------------------------------------------------------------------------------------

void CudaDevice::time_begin() {
  cudaEvent_t begin = nullptr;
  if (!check("time_begin", cudaEventCreateWithFlags(&begin, cudaEventDefault))) return;
  begun_.push_back(begin);
  check("time_begin", cudaEventRecord(begin, work_));
}

double CudaDevice::time_end() {
  if (begun_.empty()) {
    fail(invalid_argument("time_end: expected a time_begin before, got none"));
    return 0;
  }
  const cudaEvent_t begin = begun_.back();
  begun_.pop_back();
  cudaEvent_t end = nullptr;
  float elapsed = 0;
  if (check("time_end", cudaEventCreateWithFlags(&end, cudaEventDefault))) {
    check("time_end", cudaEventRecord(end, work_)) &&
        check("time_end", cudaEventSynchronize(end)) &&
        check("time_end", cudaEventElapsedTime(&elapsed, begin, end));
    static_cast<void>(cudaEventDestroy(end));
  }
  static_cast<void>(cudaEventDestroy(begin));
  return static_cast<double>(elapsed);
}

double CudaDevice::milliseconds(const std::function<void()>& work) {
  time_begin();
  work();
  return status().ok() ? time_end() : 0;
}

void CudaDevice::synchronize() { check("synchronize", cudaStreamSynchronize(work_)); }

DeviceFacts CudaDevice::facts() {
  DeviceFacts facts;
  facts.index = index_;
  facts.multiprocessors = multiprocessors_;
  cudaDeviceProp properties;
  if (check("describe", cudaGetDeviceProperties(&properties, index_))) facts.name = properties.name;
  check("describe", cudaDeviceGetAttribute(&facts.major, cudaDevAttrComputeCapabilityMajor, index_));
  check("describe", cudaDeviceGetAttribute(&facts.minor, cudaDevAttrComputeCapabilityMinor, index_));
  std::size_t free = 0;
  std::size_t total = 0;
  check("describe", cudaMemGetInfo(&free, &total));
  facts.free_bytes = free;
  facts.total_bytes = total;
  check("describe", cudaDriverGetVersion(&facts.driver));
  check("describe", cudaRuntimeGetVersion(&facts.runtime));
  return facts;
}

}  // namespace dm::cuda
