// SPDX-License-Identifier: Apache-2.0
// A GPU as a Device: one stream, memory in the order of that stream from the driver's pool. Compiled against the CUDA runtime only.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cuda/core/device.h"
#include "cuda/device/cublaslt.h"

namespace dm::cuda {

namespace {

Status fault(const std::string& where, cudaError_t error) {
  const StatusCode code =
      error == cudaErrorMemoryAllocation ? StatusCode::kOutOfMemory : StatusCode::kInternal;
  return {code, where + ": expected success of the CUDA driver, got " + cudaGetErrorString(error)};
}

class CudaFetch : public Fetch {
 public:
  CudaFetch(void* pinned, std::size_t bytes, cudaEvent_t done)
      : pinned_(pinned), bytes_(bytes), done_(done) {}
  ~CudaFetch() override {
    cudaEventDestroy(done_);
    cudaFreeHost(pinned_);
  }
  Status wait(void* to) override {
    const cudaError_t error = cudaEventSynchronize(done_);
    if (error != cudaSuccess) return fault("fetch_wait", error);
    if (bytes_ > 0) std::memcpy(to, pinned_, bytes_);
    return {};
  }

 private:
  void* pinned_;
  std::size_t bytes_;
  cudaEvent_t done_;
};

struct CudaGraph : Graph {
  ~CudaGraph() override {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
    for (void* block : memory) cudaFree(block);
    for (void* block : pinned) cudaFreeHost(block);
  }
  cudaGraphExec_t exec = nullptr;
  std::vector<void*> memory, pinned;
};

class CudaDevice : public DeviceContext, private StreamClock {
 public:
  CudaDevice(int index, cudaStream_t stream, int multiprocessors)
      : index_(index), stream_(stream), multiprocessors_(multiprocessors) {}

  ~CudaDevice() override {
    shadows().clear();
    library_.reset();
    if (scratch_ != nullptr) cudaFreeAsync(scratch_, stream_);
    cudaStreamDestroy(stream_);
  }

  void* allocate(std::size_t bytes) override {
    void* data = nullptr;
    if (capture_ != nullptr) {
      check("allocate", cudaMalloc(&data, bytes == 0 ? 1 : bytes));
      capture_->memory.push_back(data);
      of_graphs_.insert(data);
      return data;
    }
    check("allocate", cudaMallocAsync(&data, bytes == 0 ? 1 : bytes, stream_));
    if (data == nullptr) return nullptr;
    sizes_[data] = bytes;
    memory_.in_use += bytes;
    memory_.peak = std::max(memory_.peak, memory_.in_use);
    return data;
  }
  void release(void* data) override {
    shadows().drop(data);
    if (of_graphs_.count(data) != 0) return;
    const std::size_t bytes = sizes_[data];
    memory_.in_use -= bytes;
    sizes_.erase(data);
    if (capture_ != nullptr) {
      capture_->memory.push_back(data);
    } else {
      check("release", cudaFreeAsync(data, stream_));
    }
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    shadows().drop(to, bytes);
    if (capture_ != nullptr) {
      void* const pinned = stage(bytes);
      if (pinned == nullptr) return;
      std::memcpy(pinned, from, bytes);
      upload_staged(to, pinned, bytes);
      return;
    }
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
    DeviceFacts facts;
    facts.index = index_;
    facts.multiprocessors = multiprocessors_;
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
    if (capture_ != nullptr) return allocate(bytes);
    if (bytes > scratch_bytes_) {
      // In the order of the stream: kernels that use the old memory are done before it is given back.
      if (scratch_ != nullptr) check("scratch", cudaFreeAsync(scratch_, stream_));
      scratch_ = allocate(bytes);
      scratch_bytes_ = scratch_ == nullptr ? 0 : bytes;
    }
    return scratch_;
  }

  MemoryFacts memory() override {
    memory_.workspace = scratch_bytes_;
    return memory_;
  }
  void trim() override {
    synchronize();
    cudaMemPool_t pool = nullptr;
    check("trim", cudaDeviceGetDefaultMemPool(&pool, index_));
    check("trim", cudaMemPoolTrimTo(pool, 0));
  }
  void* stage(std::size_t bytes) override {
    void* memory = nullptr;
    check("stage", cudaHostAlloc(&memory, bytes == 0 ? 1 : bytes, cudaHostAllocDefault));
    if (memory != nullptr) staged_[memory] = bytes;
    memory_.staging += memory == nullptr ? 0 : bytes;
    return memory;
  }
  void unstage(void* memory) override {
    if (forget("unstage", memory, 0)) check("unstage", cudaFreeHost(memory));
  }
  void upload_staged(void* to, void* memory, std::size_t bytes) override {
    shadows().drop(to, bytes);
    if (!forget("upload_staged", memory, bytes)) return;
    check("upload_staged", cudaMemcpyAsync(to, memory, bytes, cudaMemcpyHostToDevice, stream_));
    if (capture_ != nullptr) {
      capture_->pinned.push_back(memory);
      return;
    }
    synchronize();
    check("upload_staged", cudaFreeHost(memory));
  }
  Fetch* fetch(const void* from, std::size_t bytes) override {
    void* pinned = nullptr;
    cudaEvent_t done = nullptr;
    check("fetch", cudaHostAlloc(&pinned, bytes == 0 ? 1 : bytes, cudaHostAllocDefault));
    if (pinned == nullptr) return nullptr;
    check("fetch", cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
    check("fetch", cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, stream_));
    check("fetch", cudaEventRecord(done, stream_));
    return new CudaFetch(pinned, bytes, done);
  }
  void fetch_end(Fetch* fetch) override { delete fetch; }

  void time_begin() override {
    cudaEvent_t begin = nullptr;
    check("time_begin", cudaEventCreate(&begin));
    check("time_begin", cudaEventRecord(begin, stream_));
    begun_.push_back(begin);
  }
  double time_end() override {
    if (begun_.empty()) {
      fail(invalid_argument("time_end: expected a time_begin before, got none"));
      return 0;
    }
    cudaEvent_t end = nullptr;
    float elapsed = 0;
    check("time_end", cudaEventCreate(&end));
    check("time_end", cudaEventRecord(end, stream_));
    check("time_end", cudaEventSynchronize(end));
    check("time_end", cudaEventElapsedTime(&elapsed, begun_.back(), end));
    cudaEventDestroy(end);
    cudaEventDestroy(begun_.back());
    begun_.pop_back();
    return static_cast<double>(elapsed);
  }
  void range_push(const char*) override {}
  void range_pop() override {}

  bool capturing() override { return capture_ != nullptr; }
  void capture_begin() override {
    check("capture_begin", cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
    if (!status().ok()) return;
    capture_ = std::make_unique<CudaGraph>();
    shadows().begin_record();
  }
  Graph* capture_end() override {
    std::unique_ptr<CudaGraph> made = std::move(capture_);
    made->shadows = shadows().end_record();
    cudaGraph_t graph = nullptr;
    check("capture_end", cudaStreamEndCapture(stream_, &graph));
    if (graph == nullptr) return nullptr;
    check("capture_end", cudaGraphInstantiateWithFlags(&made->exec, graph, 0));
    cudaGraphDestroy(graph);
    return status().ok() ? made.release() : nullptr;
  }
  void replay(Graph* graph) override {
    shadows().before_run(*graph->shadows);
    check("replay", cudaGraphLaunch(static_cast<CudaGraph*>(graph)->exec, stream_));
    shadows().after_run(*graph->shadows);
  }
  void graph_destroy(Graph* graph) override {
    synchronize();
    graph->shadows.reset();
    delete graph;
  }

 private:
  /// Whether it was staged, and holds as much; it is not staged any more then.
  bool forget(const char* where, void* memory, std::size_t bytes) {
    const auto found = staged_.find(memory);
    if (found == staged_.end() || found->second < bytes) {
      fail(invalid_argument(std::string(where) + ": expected memory of stage, got another"));
      return false;
    }
    memory_.staging -= found->second;
    staged_.erase(found);
    return true;
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
  MemoryFacts memory_;
  std::unordered_map<void*, std::size_t> sizes_, staged_;
  std::unordered_set<void*> of_graphs_;
  std::vector<cudaEvent_t> begun_;
  std::unique_ptr<CudaGraph> capture_;
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

Status open_device(int index, std::unique_ptr<DeviceContext>& device) {
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
