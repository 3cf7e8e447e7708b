// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cuda/core/device.h"

namespace dm::cuda {

namespace {

constexpr std::size_t kAlignment = 256;

class EmulatedFetch : public Fetch {
 public:
  EmulatedFetch(const void* from, std::size_t bytes)
      : bytes_(static_cast<const char*>(from), static_cast<const char*>(from) + bytes) {}
  Status wait(void* to) override {
    std::copy(bytes_.begin(), bytes_.end(), static_cast<char*>(to));
    return {};
  }

 private:
  std::vector<char> bytes_;
};

struct EmulatedGraph : Graph {
  ~EmulatedGraph() override {
    for (void* block : memory) std::free(block);
  }
  std::vector<std::function<void()>> work;
  std::vector<void*> memory;
};

class EmulatedDevice : public DeviceContext {
 public:
  explicit EmulatedDevice(std::uint64_t order) : order_(order) {}
  ~EmulatedDevice() override { shadows().clear(); }

  void* allocate(std::size_t bytes) override {
    void* const data = block(bytes);
    if (capture_ != nullptr) {
      capture_->memory.push_back(data);
      of_graphs_.insert(data);
    } else if (data != nullptr) {
      sizes_[data] = bytes;
      facts_.in_use += bytes;
      facts_.peak = std::max(facts_.peak, facts_.in_use);
    }
    return data;
  }
  void release(void* data) override {
    shadows().drop(data);
    if (of_graphs_.count(data) != 0) return;
    facts_.in_use -= sizes_[data];
    sizes_.erase(data);
    if (capture_ != nullptr) {
      capture_->memory.push_back(data);
    } else {
      std::free(data);
    }
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    shadows().drop(to, bytes);
    if (bytes == 0) return;
    const std::vector<char> copy(static_cast<const char*>(from),
                                 static_cast<const char*>(from) + bytes);
    enqueue([to, copy] { std::memcpy(to, copy.data(), copy.size()); });
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void synchronize() override {}
  void enqueue(std::function<void()> kernel) override {
    if (capture_ == nullptr) {
      kernel();
    } else {
      capture_->work.push_back(std::move(kernel));
    }
  }

  void* stream() const override { return nullptr; }
  DeviceFacts facts() override {
    return {.name = "emulator", .multiprocessors = multiprocessors()};
  }
  int multiprocessors() const override { return 4; }
  std::uint64_t order() const override { return order_; }

  void* scratch(std::size_t bytes) override {
    // Fresh every time, so that an op cannot read what another left there; poisoned, so that it cannot read what it did not write.
    std::vector<double> fresh(bytes / sizeof(double) + kAlignment / sizeof(double) + 1, kPoison);
    if (capture_ != nullptr) {
      void* const kept = block(bytes);
      capture_->memory.push_back(kept);
      return kept;
    }
    scratch_ = std::move(fresh);
    const auto start = reinterpret_cast<std::uintptr_t>(scratch_.data());
    return reinterpret_cast<void*>((start + kAlignment - 1) / kAlignment * kAlignment);
  }

  MemoryFacts memory() override { return facts_; }
  void trim() override {}
  void* stage(std::size_t bytes) override {
    void* const memory = block(bytes);
    staged_[memory] = bytes;
    facts_.staging += bytes;
    return memory;
  }
  void unstage(void* memory) override {
    const auto found = staged_.find(memory);
    if (found == staged_.end()) {
      fail(invalid_argument("unstage: expected memory of stage, got another"));
      return;
    }
    facts_.staging -= found->second;
    staged_.erase(found);
    std::free(memory);
  }
  void upload_staged(void* to, void* memory, std::size_t bytes) override {
    const auto found = staged_.find(memory);
    if (found == staged_.end() || found->second < bytes) {
      fail(invalid_argument("upload_staged: expected memory of stage, got another"));
      return;
    }
    upload(to, memory, bytes);
    unstage(memory);
  }
  Fetch* fetch(const void* from, std::size_t bytes) override {
    return new EmulatedFetch(from, bytes);
  }
  void fetch_end(Fetch* fetch) override { delete fetch; }

  void time_begin() override { begun_.push_back(std::chrono::steady_clock::now()); }
  double time_end() override {
    if (begun_.empty()) {
      fail(invalid_argument("time_end: expected a time_begin before, got none"));
      return 0;
    }
    const auto begun = begun_.back();
    begun_.pop_back();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
        .count();
  }
  void range_push(const char*) override {}
  void range_pop() override {}

  bool capturing() override { return capture_ != nullptr; }
  void capture_begin() override {
    capture_ = std::make_unique<EmulatedGraph>();
    shadows().begin_record();
  }
  Graph* capture_end() override {
    capture_->shadows = shadows().end_record();
    return capture_.release();
  }
  void replay(Graph* graph) override {
    shadows().before_run(*graph->shadows);
    for (const auto& kernel : static_cast<EmulatedGraph*>(graph)->work) kernel();
    shadows().after_run(*graph->shadows);
  }
  void graph_destroy(Graph* graph) override {
    graph->shadows.reset();
    delete graph;
  }

 private:
  static constexpr double kPoison = -6.2e66;

  void* block(std::size_t bytes) {
    void* data = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
    if (data == nullptr) {
      fail({StatusCode::kOutOfMemory,
            "allocate: expected " + std::to_string(bytes) + " bytes of host memory, got none"});
    }
    return data;
  }

  std::uint64_t order_;
  std::vector<double> scratch_;
  MemoryFacts facts_;
  std::unordered_map<void*, std::size_t> sizes_, staged_;
  std::unordered_set<void*> of_graphs_;
  std::vector<std::chrono::steady_clock::time_point> begun_;
  std::unique_ptr<EmulatedGraph> capture_;
};

}  // namespace

std::unique_ptr<DeviceContext> make_emulated_device(std::uint64_t order) {
  return std::make_unique<EmulatedDevice>(order);
}

Status count_devices(int& count) {
  count = 1;
  return {};
}

Status open_device(int index, std::unique_ptr<DeviceContext>& device) {
  if (index != 0) {
    return invalid_argument("create: expected device 0, the emulated one, got " +
                            std::to_string(index));
  }
  const char* const order = std::getenv("DIFFMAVIL_EMULATOR_ORDER");
  device = make_emulated_device(order == nullptr ? 0 : std::strtoull(order, nullptr, 10));
  return {};
}

}  // namespace dm::cuda
