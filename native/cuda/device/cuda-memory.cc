// SPDX-License-Identifier: Apache-2.0
// The device's memory: blocks, scratch, copies both ways through pinned memory.
#include <algorithm>
#include <cstring>
#include <string>

#include "cuda/core/red-zone.h"
#include "cuda/device/bounds.h"
#include "cuda/device/cuda-device.h"

namespace dm::cuda {

namespace {

/// Pageable memory goes through pinned memory in pieces of so many bytes.
constexpr std::size_t kPiece = std::size_t{64} << 20;
constexpr int kPoison = 0xCB;

class CudaFetch : public Fetch {
 public:
  CudaFetch(int index, void* pinned, std::size_t bytes, cudaEvent_t done)
      : index_(index), pinned_(pinned), bytes_(bytes), done_(done) {}
  Status wait(void* to) override {
    cudaError_t error = cudaSetDevice(index_);
    if (error == cudaSuccess) error = cudaEventSynchronize(done_);
    if (error != cudaSuccess) {
      return {StatusCode::kInternal, std::string("fetch_wait: expected what was started before to "
                                                 "end well, got '") +
                                         cudaGetErrorString(error) +
                                         "'. Try: DIFFMAVIL_CUDA_SYNC=1, which names the op that did it"};
    }
    if (bytes_ > 0) std::memcpy(to, pinned_, bytes_);
    return {};
  }
  void* pinned() const { return pinned_; }
  cudaEvent_t done() const { return done_; }

 private:
  int index_;
  void* pinned_;
  std::size_t bytes_;
  cudaEvent_t done_;
};

}  // namespace

// ---- blocks ------------------------------------------------------------------------------------------------------------------------

void* CudaDevice::take(std::size_t bytes) {
  void* segment = nullptr;
  const cudaError_t error = cudaMalloc(&segment, bytes);
  if (error == cudaSuccess) return segment;
  if (error == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
  } else {
    check("allocate", error);
  }
  return nullptr;
}

void CudaDevice::give_back(void* segment, std::size_t) { check("trim", cudaFree(segment)); }

void* CudaDevice::take_block(const char* where, std::size_t bytes, CachingAllocator::Use use) {
  const bool own = capture_ != nullptr;
  void* const data =
      allocator_.allocate(std::max(bytes, bytes + kRedZone), use,
                          own ? capture_->pool : CachingAllocator::kShared, !own);
  if (data == nullptr) {
    std::size_t free = 0;
    std::size_t total = 0;
    if (check(where, cudaMemGetInfo(&free, &total))) {
      fail({StatusCode::kOutOfMemory, exhausted(where, bytes, allocator_.statistics(), total)});
    }
    return nullptr;
  }
  handed_out_[data] = timeline_.newest();
  permit_only(work_, data, bytes, allocator_.find(data)->bytes);
  return data;
}

void* CudaDevice::allocate(std::size_t bytes) {
  return take_block("allocate", bytes, CachingAllocator::Use::kBuffer);
}

void* CudaDevice::workspace(std::size_t bytes) {
  return take_block("workspace", bytes, CachingAllocator::Use::kWorkspace);
}

void CudaDevice::release(void* data) {
  shadows().drop(data);
  const CachingAllocator::Block* const block = allocator_.find(data);
  if (block == nullptr) {
    fail(invalid_argument("release: expected a buffer of this device, got another address"));
  } else if (capture_ != nullptr && block->pool != capture_->pool) {
    capture_->kept.push_back(data);
  } else {
    let_go(data);
  }
}

/// To the allocator, for what is started from now on.
void CudaDevice::let_go(void* data) {
  const CachingAllocator::Block* const block = allocator_.find(data);
  if (block == nullptr) return;
  // Not into the graph of somebody else.
  if (capture_ == nullptr || block->pool == capture_->pool) {
    fill_with_poison(data, block->bytes);
    forbid(work_, data, block->bytes);
  }
  const std::uint64_t last_use = is_untouched(data) ? block->last_use : timeline_.newest();
  handed_out_.erase(data);
  allocator_.release(data, last_use);
}

void CudaDevice::fill_with_poison(void* data, std::size_t bytes) {
  if (!options_.poison || bytes == 0) return;
  permit(work_, data, bytes);
  if (check("poison", cudaMemsetAsync(data, kPoison, bytes, work_))) timeline_.started();
}

void* CudaDevice::scratch(std::size_t bytes) {
  CudaScratch& own = capture_ == nullptr ? scratch_ : capture_->scratch;
  if (own.data == nullptr || bytes + kRedZone > own.bytes) {
    if (own.data != nullptr) let_go(own.data);
    own.data = take_block("scratch", bytes, CachingAllocator::Use::kWorkspace);
    own.bytes = own.data == nullptr ? 0 : allocator_.find(own.data)->bytes;
  }
  if (own.data == nullptr) return nullptr;
  fill_with_poison(own.data, own.bytes);
  permit_only(work_, own.data, bytes, own.bytes);
  return own.data;
}

void CudaDevice::hide(const void* data, std::size_t bytes) {
  if (status().ok()) forbid(work_, data, bytes);
}

MemoryFacts CudaDevice::memory() {
  const AllocatorStatistics& blocks = allocator_.statistics();
  return {blocks.in_use, blocks.cached, blocks.peak, blocks.workspace, pinned_.bytes()};
}

void CudaDevice::trim() {
  if (scratch_.data != nullptr) let_go(scratch_.data);
  scratch_ = {};
  check("trim", pinned_.trim());
  allocator_.trim();
}

// ---- to the device -----------------------------------------------------------------------------------------------------------------

void* CudaDevice::take_pinned(const char* where, std::size_t bytes) {
  cudaError_t error = cudaSuccess;
  void* const memory = pinned_.take(bytes, error);
  if (error == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    fail({StatusCode::kOutOfMemory, std::string(where) + ": expected " + std::to_string(bytes) +
                                        " bytes of pinned host memory, got none: " +
                                        std::to_string(pinned_.bytes()) +
                                        " are staging already. Try: trim, or smaller batches"});
  } else {
    check(where, error);
  }
  return memory;
}

/// Whether no work was started since the buffer was handed out.
bool CudaDevice::is_untouched(const void* buffer) const {
  const auto found = handed_out_.find(buffer);
  return found != handed_out_.end() && found->second == timeline_.newest();
}

/// Copies `pinned` to a place in a buffer, and takes the pinned memory back once that is done.
void CudaDevice::copy_in(const char* where, void* buffer, std::size_t offset, void* pinned,
                         std::size_t bytes) {
  void* const to = static_cast<char*>(buffer) + offset;
  if (capture_ != nullptr) {
    capture_->pinned.push_back(pinned);
    check(where, cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, work_));
    return;
  }
  const bool beside = is_untouched(buffer);
  const cudaStream_t stream = beside ? copies_ : work_;
  if (beside && !check(where, timeline_.wait(copies_, allocator_.find(buffer)->last_use))) return;
  permit(stream, to, bytes);
  if (!check(where, cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, stream))) return;
  cudaError_t error = cudaSuccess;
  const cudaEvent_t copied = pinned_.give_back_after(pinned, stream, error);
  if (!check(where, error)) return;
  if (beside) {
    check(where, cudaStreamWaitEvent(work_, copied, 0));
  } else {
    timeline_.started();
  }
}

void CudaDevice::upload(void* to, const void* from, std::size_t bytes) {
  shadows().drop(to, bytes);
  for (std::size_t done = 0; done < bytes && status().ok(); done += kPiece) {
    const std::size_t piece = std::min(kPiece, bytes - done);
    void* const pinned = take_pinned("upload", piece);
    if (pinned == nullptr) return;
    std::memcpy(pinned, static_cast<const char*>(from) + done, piece);
    copy_in("upload", to, done, pinned, piece);
  }
}

void* CudaDevice::stage(std::size_t bytes) { return take_pinned("stage", bytes); }

void CudaDevice::unstage(void* memory) {
  if (pinned_.size(memory) == 0) {
    fail(invalid_argument("unstage: expected memory of stage, got another"));
  } else {
    pinned_.give_back(memory);
  }
}

void CudaDevice::upload_staged(void* to, void* memory, std::size_t bytes) {
  const std::size_t there = pinned_.size(memory);
  if (there == 0 || there < bytes) {
    fail(invalid_argument("upload_staged: expected memory of stage of at least " +
                          std::to_string(bytes) + " bytes, got another"));
  } else if (bytes == 0) {
    pinned_.give_back(memory);
  } else {
    shadows().drop(to, bytes);
    copy_in("upload_staged", to, 0, memory, bytes);
  }
}

// ---- to the host -------------------------------------------------------------------------------------------------------------------

void CudaDevice::download(void* to, const void* from, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes && status().ok(); done += kPiece) {
    const std::size_t piece = std::min(kPiece, bytes - done);
    void* const pinned = take_pinned("download", piece);
    if (pinned == nullptr) return;
    const void* const place = static_cast<const char*>(from) + done;
    if (check("download",
              cudaMemcpyAsync(pinned, place, piece, cudaMemcpyDeviceToHost, work_)) &&
        check("download", cudaStreamSynchronize(work_))) {
      std::memcpy(static_cast<char*>(to) + done, pinned, piece);
    }
    pinned_.give_back(pinned);
  }
  if (bytes == 0) synchronize();
}

Fetch* CudaDevice::fetch(const void* from, std::size_t bytes) {
  void* const pinned = take_pinned("fetch", bytes);
  if (pinned == nullptr) return nullptr;
  cudaError_t error = cudaSuccess;
  const cudaEvent_t done = events_.take(error);
  const bool copied =
      check("fetch", error) &&
      (bytes == 0 ||
       check("fetch", cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, work_))) &&
      check("fetch", cudaEventRecord(done, work_));
  if (!copied) {
    if (done != nullptr) events_.give_back(done);
    pinned_.give_back(pinned);
    return nullptr;
  }
  timeline_.started();
  auto* const made = new CudaFetch(index_, pinned, bytes, done);
  fetches_.insert(made);
  return made;
}

void CudaDevice::fetch_end(Fetch* fetch) {
  if (fetches_.erase(fetch) == 0) return;
  auto* const own = static_cast<CudaFetch*>(fetch);
  // The copy may be under way still.
  static_cast<void>(cudaEventSynchronize(own->done()));
  events_.give_back(own->done());
  pinned_.give_back(own->pinned());
  delete own;
}

}  // namespace dm::cuda
