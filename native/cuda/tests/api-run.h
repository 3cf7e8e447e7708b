// SPDX-License-Identifier: Apache-2.0
// A context of the C table for tests, on the emulator or on a GPU, as the program is linked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/include/dm_cuda.h"

namespace dm::test {

inline const dm_cuda_api& api() { return *dm_cuda_get_api(DM_CUDA_ABI); }

/// A context of device 0. Every call has to succeed, unless its status is asked for.
class Context {
 public:
  Context() { CHECK_EQUAL(api().create(0, &context_), DM_CUDA_OK); }
  ~Context() { api().destroy(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  dm_cuda_context* get() const { return context_; }
  std::string message() const { return api().message(context_); }
  void good(dm_cuda_status status) const {
    if (status != DM_CUDA_OK) report(__FILE__, __LINE__, message());
  }

  dm_cuda_buffer allocate(std::uint64_t count) {
    dm_cuda_buffer buffer{};
    good(api().allocate(context_, count * sizeof(float), &buffer));
    return buffer;
  }
  void release(dm_cuda_buffer buffer) { good(api().release(context_, buffer)); }
  void write(dm_cuda_buffer to, const std::vector<float>& values) {
    good(api().upload(context_, to, values.data(), values.size() * sizeof(float)));
  }
  dm_cuda_buffer upload(const std::vector<float>& values) {
    const dm_cuda_buffer buffer = allocate(values.size());
    write(buffer, values);
    return buffer;
  }
  void write_staged(dm_cuda_buffer to, const std::vector<float>& values) {
    void* memory = nullptr;
    good(api().stage(context_, values.size() * sizeof(float), &memory));
    if (memory == nullptr) return;
    std::copy(values.begin(), values.end(), static_cast<float*>(memory));
    good(api().upload_staged(context_, to, memory, values.size() * sizeof(float)));
  }
  std::vector<float> download(dm_cuda_buffer from) {
    std::vector<float> values(from.bytes / sizeof(float));
    good(api().download(context_, values.data(), from, from.bytes));
    return values;
  }
  dm_cuda_status try_run(const char* op, const std::vector<dm_cuda_buffer>& buffers,
                         const std::vector<double>& numbers) {
    return api().run(context_, api().find(op), buffers.data(), buffers.size(), numbers.data(),
                     numbers.size());
  }
  void run(const char* op, const std::vector<dm_cuda_buffer>& buffers,
           const std::vector<double>& numbers) {
    good(try_run(op, buffers, numbers));
  }
  dm_cuda_memory memory() {
    dm_cuda_memory facts{};
    facts.struct_size = sizeof facts;
    good(api().memory(context_, &facts));
    return facts;
  }

 private:
  dm_cuda_context* context_ = nullptr;
};

/// `count` times the same.
inline std::vector<float> all(std::uint64_t count, float value) {
  return std::vector<float>(count, value);
}

}  // namespace dm::test
