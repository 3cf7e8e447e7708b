// SPDX-License-Identifier: Apache-2.0
// A GPU as a device, and, compiled against the emulated runtime, the emulator as one.
//
// Streams: ops, and copies to the host, are on one stream. A copy to the device goes on a second one, so that it runs beside the work under
// way, if nothing was started since its buffer was handed out; otherwise ops may use the buffer, the copy would wait for all of them, and
// it is put on their stream at once. On the second stream a copy waits until the buffer's former owner is done with it (the block's
// last use, timeline.h); what is started later waits for the copy.
// Memory: blocks of the caching allocator, in the order of the stream of work: one that is released may be handed out at once, for what uses
// it next runs later. A graph has a pool of its own, and keeps the pinned memory that its copies read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cuda/core/caching-allocator.h"
#include "cuda/core/device.h"
#include "cuda/device/cublaslt.h"
#include "cuda/device/cuda-runtime.h"
#include "cuda/device/events.h"
#include "cuda/device/pinned-pool.h"
#include "cuda/device/timeline.h"

namespace dm::cuda {

struct CudaDeviceOptions {
  bool wait_for_ops = false;  ///< after each, so that a fault names its op
  bool library = true;        ///< whether products may go to cuBLASLt
  bool poison = false;        ///< fills scratch, and what is released, with 0xCB
  std::uint64_t order = 0;    ///< of the emulator's schedules
};

struct CudaScratch {
  void* data = nullptr;
  std::size_t bytes = 0;
};

struct CudaGraph : Graph {
  cudaGraphExec_t exec = nullptr;
  CachingAllocator::Pool pool = CachingAllocator::kShared;
  CudaScratch scratch;
  std::vector<void*> pinned;     ///< what recorded copies read
  std::vector<void*> kept;       ///< buffers from before that were released meanwhile
  cudaEvent_t replayed = nullptr;  ///< behind the last replay; null: there was none
};

class CudaDevice : public DeviceContext, private StreamClock, private SegmentSource {
 public:
  static cudaError_t open(int index, const CudaDeviceOptions& options,
                          std::unique_ptr<CudaDevice>& device);
  ~CudaDevice() override;

  void* allocate(std::size_t bytes) override;
  void release(void* data) override;
  void upload(void* to, const void* from, std::size_t bytes) override;
  void download(void* to, const void* from, std::size_t bytes) override;
  void synchronize() override;
  bool lost() const override { return lost_; }
  void* stream() const override { return work_; }
  DeviceFacts facts() override;
  int multiprocessors() const override { return multiprocessors_; }
  void* scratch(std::size_t bytes) override;
  void hide(const void* data, std::size_t bytes) override;
  void* workspace(std::size_t bytes) override;
  bool multiply(const LibraryProduct& product) override;
  std::uint64_t order() const override { return options_.order; }
  void launched(const char* error) override;
  void op_begins(const char* name) override;
  void op_ends() override;

  void enter() override { check("device", cudaSetDevice(index_)); }
  MemoryFacts memory() override;
  void trim() override;
  void* stage(std::size_t bytes) override;
  void unstage(void* memory) override;
  void upload_staged(void* to, void* memory, std::size_t bytes) override;
  Fetch* fetch(const void* from, std::size_t bytes) override;
  void fetch_end(Fetch* fetch) override;
  void time_begin() override;
  double time_end() override;
  void range_push(const char* name) override;
  void range_pop() override;
  bool capturing() override { return capture_ != nullptr; }
  void capture_begin() override;
  Graph* capture_end() override;
  void replay(Graph* graph) override;
  void graph_destroy(Graph* graph) override;

 private:
  CudaDevice(int index, const CudaDeviceOptions& options, cudaStream_t work, cudaStream_t copies,
             cudaEvent_t probe, int multiprocessors);

  double milliseconds(const std::function<void()>& work) override;
  void* take(std::size_t bytes) override;
  void give_back(void* segment, std::size_t bytes) override;

  void* take_block(const char* where, std::size_t bytes, CachingAllocator::Use use);
  void let_go(void* data);
  void fill_with_poison(void* data, std::size_t bytes);
  void* take_pinned(const char* where, std::size_t bytes);
  bool is_untouched(const void* buffer) const;
  void copy_in(const char* where, void* buffer, std::size_t offset, void* pinned, std::size_t bytes);
  std::unique_ptr<CudaGraph> end_recording();
  void drop(CudaGraph& graph);
  /// Whether it was a success; otherwise the device's status says where it was not.
  bool check(const char* where, cudaError_t error);
  bool notice_loss();
  Status loss(const char* where, const std::string& said) const;

  int index_;
  CudaDeviceOptions options_;
  cudaStream_t work_, copies_;
  cudaEvent_t probe_;  ///< never recorded: asking for it tells whether the device is in order
  int multiprocessors_;
  bool lost_ = false;
  const char* last_op_ = "none";
  Events events_;
  Timeline timeline_;
  PinnedPool pinned_;
  CachingAllocator allocator_;
  std::unordered_map<const void*, std::uint64_t> handed_out_;  ///< the newest work then, of each block
  CudaScratch scratch_;
  std::unordered_set<Fetch*> fetches_;
  std::unordered_set<Graph*> graphs_;
  std::unique_ptr<CudaGraph> capture_;
  std::vector<cudaEvent_t> begun_;  ///< of time_begin, innermost last
  bool library_sought_ = false;
  std::unique_ptr<CublasLt> library_;
};

}  // namespace dm::cuda
