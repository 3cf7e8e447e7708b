// SPDX-License-Identifier: Apache-2.0
// A GPU as a Device: one stream, memory in the order of that stream from the driver's pool. Compiled against the CUDA runtime only.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cuda/core/device.h"
#include "cuda/device/cublaslt.h"

namespace dm::cuda {

namespace {

Status fault(const std::string& where, cudaError_t error) {
  const StatusCode code =
      error == cudaErrorMemoryAllocation ? StatusCode::kOutOfMemory : StatusCode::kInternal;
  return {code, where + ": expected success of the CUDA driver, got " + cudaGetErrorString(error)};
}

class CudaDevice : public Device, private StreamClock {
 public:
  CudaDevice(int index, cudaStream_t stream, int multiprocessors)
      : index_(index), stream_(stream), multiprocessors_(multiprocessors) {}

  ~CudaDevice() override {
    library_.reset();
    if (scratch_ != nullptr) cudaFreeAsync(scratch_, stream_);
    cudaStreamDestroy(stream_);
  }

  void* allocate(std::size_t bytes) override {
    void* data = nullptr;
    check("allocate", cudaMallocAsync(&data, bytes == 0 ? 1 : bytes, stream_));
    return data;
  }
  void release(void* data) override { check("release", cudaFreeAsync(data, stream_)); }
  void upload(void* to, const void* from, std::size_t bytes) override {
    // From pageable memory the call returns once the driver has its copy.
    check("upload", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    check("download", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
    synchronize();
  }
  void synchronize() override { check("synchronize", cudaStreamSynchronize(stream_)); }
  bool lost() const override { return lost_; }

  void* stream() const override { return stream_; }
  int multiprocessors() const override { return multiprocessors_; }

  DeviceFacts facts() override {
    DeviceFacts facts{.index = index_, .multiprocessors = multiprocessors_};
    cudaDeviceProp properties;
    check("describe", cudaGetDeviceProperties(&properties, index_));
    facts.name = properties.name;
    facts.major = properties.major;
    facts.minor = properties.minor;
    std::size_t free = 0;
    std::size_t total = 0;
    check("describe", cudaMemGetInfo(&free, &total));
    facts.free_bytes = free;
    facts.total_bytes = total;
    check("describe", cudaDriverGetVersion(&facts.driver));
    check("describe", cudaRuntimeGetVersion(&facts.runtime));
    return facts;
  }

  bool multiply(const LibraryProduct& product) override {
    if (!library_sought_ && !capturing()) {
      library_sought_ = true;
      library_ = CublasLt::from_environment(*this, *this);
    }
    return library_ != nullptr && library_->multiply(product);
  }

  void* scratch(std::size_t bytes) override {
    if (bytes > scratch_bytes_) {
      // In the order of the stream: kernels that use the old memory are done before it is given back.
      if (scratch_ != nullptr) check("scratch", cudaFreeAsync(scratch_, stream_));
      scratch_ = allocate(bytes);
      scratch_bytes_ = scratch_ == nullptr ? 0 : bytes;
    }
    return scratch_;
  }

 private:
  bool capturing() override {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check("capture", cudaStreamIsCapturing(stream_, &status));
    return status != cudaStreamCaptureStatusNone;
  }
  double milliseconds(const std::function<void()>& work) override {
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    check("time", cudaEventCreate(&begin));
    check("time", cudaEventCreate(&end));
    check("time", cudaEventRecord(begin, stream_));
    work();
    check("time", cudaEventRecord(end, stream_));
    check("time", cudaEventSynchronize(end));
    float elapsed = 0;
    check("time", cudaEventElapsedTime(&elapsed, begin, end));
    check("time", cudaEventDestroy(begin));
    check("time", cudaEventDestroy(end));
    return static_cast<double>(elapsed);
  }

  void check(const char* where, cudaError_t error) {
    if (error == cudaSuccess) return;
    fail(fault(where, error));
    // An error that stays is the context's end.
    lost_ = lost_ || (error != cudaErrorMemoryAllocation && cudaGetLastError() != cudaSuccess &&
                      cudaPeekAtLastError() != cudaSuccess);
  }

  int index_;
  cudaStream_t stream_;
  int multiprocessors_;
  void* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
  bool lost_ = false;
  bool library_sought_ = false;
  std::unique_ptr<CublasLt> library_;
};

}  // namespace

Status count_devices(int& count) {
  count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {};
  count = 0;
  return {StatusCode::kUnsupported,
          std::string("device: expected a GPU and its driver, got ") +
              (error == cudaSuccess ? "none that is visible" : cudaGetErrorString(error))};
}

Status open_device(int index, std::unique_ptr<Device>& device) {
  int count = 0;
  if (Status status = count_devices(count); !status.ok()) return status;
  if (index < 0 || index >= count) {
    return invalid_argument("create: expected a device 0.." + std::to_string(count - 1) + ", got " +
                            std::to_string(index));
  }
  cudaError_t error = cudaSetDevice(index);
  if (error != cudaSuccess) return fault("create", error);
  int multiprocessors = 0;
  error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index);
  if (error != cudaSuccess) return fault("create", error);
  cudaStream_t stream = nullptr;
  error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) return fault("create", error);
  device = std::make_unique<CudaDevice>(index, stream, multiprocessors);
  return {};
}

}  // namespace dm::cuda
