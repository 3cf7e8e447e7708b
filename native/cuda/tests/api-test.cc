// SPDX-License-Identifier: Apache-2.0
// The C table, as a program that knows dm_cuda.h alone sees it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/include/dm_cuda.h"

namespace {

const dm_cuda_api& api() { return *dm_cuda_get_api(DM_CUDA_ABI); }

/// A context of device 0, and buffers of floats that live as long as it.
class Context {
 public:
  Context() { CHECK_EQUAL(api().create(0, &context_), DM_CUDA_OK); }
  ~Context() {
    for (const dm_cuda_buffer& buffer : buffers_) api().release(context_, buffer);
    api().destroy(context_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  dm_cuda_buffer upload(const std::vector<float>& values) {
    dm_cuda_buffer buffer{};
    const std::uint64_t bytes = values.size() * sizeof(float);
    CHECK_EQUAL(api().allocate(context_, bytes, &buffer), DM_CUDA_OK);
    CHECK_EQUAL(api().upload(context_, buffer, values.data(), bytes), DM_CUDA_OK);
    buffers_.push_back(buffer);
    return buffer;
  }
  dm_cuda_status run(std::int32_t op, const std::vector<dm_cuda_buffer>& buffers,
                     const std::vector<double>& numbers) {
    return api().run(context_, op, buffers.data(), buffers.size(), numbers.data(), numbers.size());
  }
  std::string message() const { return api().message(context_); }
  dm_cuda_context* get() const { return context_; }

 private:
  dm_cuda_context* context_ = nullptr;
  std::vector<dm_cuda_buffer> buffers_;
};

}  // namespace

TEST("has no table for another abi, and says its own size") {
  CHECK(dm_cuda_get_api(DM_CUDA_ABI + 1) == nullptr);
  CHECK(dm_cuda_get_api(0) == nullptr);
  CHECK_EQUAL(api().abi, std::uint32_t{DM_CUDA_ABI});
  CHECK_EQUAL(api().struct_size, sizeof(dm_cuda_api));
}

TEST("keeps the layout of its structs on 64-bit machines") {
  // What has been released stays; fields may be added at the end.
  CHECK_EQUAL(sizeof(dm_cuda_buffer), std::size_t{16});
  CHECK_EQUAL(offsetof(dm_cuda_device, name), std::size_t{8});
  CHECK_EQUAL(offsetof(dm_cuda_device, major), std::size_t{264});
  CHECK_EQUAL(offsetof(dm_cuda_device, total_bytes), std::size_t{288});
  CHECK(sizeof(dm_cuda_device) >= 304);
  CHECK_EQUAL(offsetof(dm_cuda_api, device_count), std::size_t{8});
  CHECK_EQUAL(offsetof(dm_cuda_api, run), std::size_t{8 + 14 * 8});
  CHECK_EQUAL(offsetof(dm_cuda_api, memory), std::size_t{8 + 15 * 8});
  CHECK_EQUAL(offsetof(dm_cuda_api, graph_destroy), std::size_t{8 + 30 * 8});
  CHECK_EQUAL(offsetof(dm_cuda_memory, in_use), std::size_t{8});
  CHECK_EQUAL(offsetof(dm_cuda_memory, staging), std::size_t{40});
}

TEST("counts devices, and refuses one that is not there in a sentence") {
  std::int32_t count = 0;
  CHECK_EQUAL(api().device_count(&count), DM_CUDA_OK);
  CHECK(count >= 1);
  dm_cuda_context* context = nullptr;
  CHECK_EQUAL(api().create(-1, &context), DM_CUDA_INVALID_ARGUMENT);
  CHECK(context == nullptr);
  CHECK_EQUAL(std::string(api().message(nullptr)).find("create: expected "), std::size_t{0});
}

TEST("describes a device in as many bytes as the caller has") {
  const Context context;
  dm_cuda_device whole{};
  whole.struct_size = sizeof whole;
  CHECK_EQUAL(api().describe(context.get(), &whole), DM_CUDA_OK);
  CHECK(std::strlen(whole.name) > 0);
  CHECK(whole.multiprocessors > 0);
  CHECK_EQUAL(whole.struct_size, sizeof whole);
  dm_cuda_device part;
  std::memset(&part, 0x5a, sizeof part);
  part.struct_size = offsetof(dm_cuda_device, multiprocessors);
  CHECK_EQUAL(api().describe(context.get(), &part), DM_CUDA_OK);
  CHECK_EQUAL(std::string(part.name), std::string(whole.name));
  CHECK_EQUAL(part.multiprocessors, 0x5a5a5a5a);
}

TEST("finds ops by the names it lists, and no others") {
  CHECK(api().op_count() > 0);
  for (std::int32_t op = 0; op < api().op_count(); ++op) {
    CHECK_EQUAL(api().find(api().op_name(op)), op);
  }
  CHECK_EQUAL(api().find("NoSuchOp"), -1);
  CHECK(api().op_name(-1) == nullptr);
  CHECK(api().op_name(api().op_count()) == nullptr);
}

TEST("runs an op on uploaded numbers") {
  Context context;
  const dm_cuda_buffer x = context.upload({1, -2, 3});
  const dm_cuda_buffer factor = context.upload({2});
  const dm_cuda_buffer y = context.upload({0, 0, 0});
  CHECK_EQUAL(context.run(api().find("DmDropPath"), {x, factor, y}, {1, 3}), DM_CUDA_OK);
  CHECK_EQUAL(api().synchronize(context.get()), DM_CUDA_OK);
  std::vector<float> result(3);
  CHECK_EQUAL(api().download(context.get(), result.data(), y, 12), DM_CUDA_OK);
  CHECK((result == std::vector<float>{2, -4, 6}));
}

TEST("refuses ops that are not there, wrong buffers and wrong numbers, and goes on") {
  Context context;
  const dm_cuda_buffer x = context.upload({1, -2, 3});
  const std::string ops = std::to_string(api().op_count());
  CHECK_EQUAL(context.run(api().op_count(), {x}, {}), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "run: expected the id of an op below " + ops + ", got " + ops);
  CHECK_EQUAL(context.run(-1, {x}, {}), DM_CUDA_INVALID_ARGUMENT);
  const std::int32_t op = api().find("DmGelu");
  CHECK_EQUAL(context.run(op, {x}, {3}), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "DmGelu: expected 2 buffers, got 1");
  CHECK_EQUAL(context.run(op, {x, x}, {}), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "DmGelu: expected 1 numbers, got 0");
  CHECK_EQUAL(context.run(op, {x, x}, {4}), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(),
              "DmGelu: expected buffer 0 of at least 4 elements of 4 bytes, got 12 bytes");
  CHECK_EQUAL(context.run(op, {x, x}, {std::numeric_limits<double>::quiet_NaN()}),
              DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.run(op, {x, x}, {3}), DM_CUDA_OK);
}

TEST("refuses to copy more than a buffer has") {
  Context context;
  const dm_cuda_buffer x = context.upload({1, 2});
  float values[3] = {};
  CHECK_EQUAL(api().upload(context.get(), x, values, 12), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "upload: expected at most 8 bytes, got 12");
  CHECK_EQUAL(api().download(context.get(), values, x, 12), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "download: expected at most 8 bytes, got 12");
}

TEST("counts the bytes of buffers, and of staging memory") {
  Context context;
  const auto facts = [&context] {
    dm_cuda_memory memory{};
    memory.struct_size = sizeof memory;
    CHECK_EQUAL(api().memory(context.get(), &memory), DM_CUDA_OK);
    return memory;
  };
  const std::uint64_t before = facts().in_use;
  dm_cuda_buffer buffer{};
  CHECK_EQUAL(api().allocate(context.get(), 5000, &buffer), DM_CUDA_OK);
  CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(buffer.data) % 256, std::uintptr_t{0});
  CHECK(facts().in_use >= before + 5000);
  CHECK_EQUAL(api().release(context.get(), buffer), DM_CUDA_OK);
  CHECK_EQUAL(facts().in_use, before);
  CHECK(facts().peak >= before + 5000);
  void* memory = nullptr;
  CHECK_EQUAL(api().stage(context.get(), 3000, &memory), DM_CUDA_OK);
  CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(memory) % 64, std::uintptr_t{0});
  CHECK(facts().staging >= 3000);
  CHECK_EQUAL(api().unstage(context.get(), memory), DM_CUDA_OK);
  CHECK_EQUAL(api().unstage(context.get(), memory), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "unstage: expected memory of stage, got another");
  CHECK_EQUAL(api().trim(context.get()), DM_CUDA_OK);
  CHECK_EQUAL(facts().staging, std::uint64_t{0});
  CHECK_EQUAL(facts().cached, std::uint64_t{0});
}

TEST("uploads from staging memory, and fetches while it goes on") {
  Context context;
  const dm_cuda_buffer x = context.upload({0, 0, 0, 0});
  void* memory = nullptr;
  CHECK_EQUAL(api().stage(context.get(), 16, &memory), DM_CUDA_OK);
  const float values[] = {1, 2, 3, 4};
  std::memcpy(memory, values, sizeof values);
  CHECK_EQUAL(api().upload_staged(context.get(), x, memory, 20), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "upload_staged: expected at most 16 bytes, got 20");
  CHECK_EQUAL(api().upload_staged(context.get(), x, memory, 16), DM_CUDA_OK);
  dm_cuda_fetch* fetch = nullptr;
  CHECK_EQUAL(api().fetch(context.get(), x, 16, &fetch), DM_CUDA_OK);
  // What is started later does not change what a fetch brings.
  const float others[] = {9, 9, 9, 9};
  CHECK_EQUAL(api().upload(context.get(), x, others, 16), DM_CUDA_OK);
  std::vector<float> got(4);
  CHECK_EQUAL(api().fetch_wait(fetch, got.data()), DM_CUDA_OK);
  api().fetch_end(context.get(), fetch);
  CHECK((got == std::vector<float>{1, 2, 3, 4}));
  CHECK_EQUAL(api().download(context.get(), got.data(), x, 16), DM_CUDA_OK);
  CHECK((got == std::vector<float>{9, 9, 9, 9}));
}

TEST("times what it started, in turns that nest") {
  Context context;
  const dm_cuda_buffer x = context.upload({1, 2, 3});
  double inner = -1;
  double outer = -1;
  CHECK_EQUAL(api().time_begin(context.get()), DM_CUDA_OK);
  CHECK_EQUAL(context.run(api().find("DmGelu"), {x, x}, {3}), DM_CUDA_OK);
  CHECK_EQUAL(api().time_begin(context.get()), DM_CUDA_OK);
  CHECK_EQUAL(api().range_push(context.get(), "inner"), DM_CUDA_OK);
  CHECK_EQUAL(context.run(api().find("DmGelu"), {x, x}, {3}), DM_CUDA_OK);
  CHECK_EQUAL(api().range_pop(context.get()), DM_CUDA_OK);
  CHECK_EQUAL(api().time_end(context.get(), &inner), DM_CUDA_OK);
  CHECK_EQUAL(api().time_end(context.get(), &outer), DM_CUDA_OK);
  CHECK(inner >= 0);
  CHECK(outer >= inner);
  CHECK_EQUAL(api().time_end(context.get(), &outer), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "time_end: expected a time_begin before, got none");
}

TEST("records ops, runs them when replayed, and refuses to wait meanwhile") {
  Context context;
  const dm_cuda_buffer x = context.upload({1, 2, 3});
  const dm_cuda_buffer y = context.upload({7, 7, 7});
  const std::int32_t op = api().find("DmDropPath");
  std::vector<float> got(3);
  dm_cuda_buffer factor{};
  dm_cuda_graph* graph = nullptr;
  CHECK_EQUAL(api().capture_end(context.get(), &graph), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(), "capture_end: expected a capture under way, got none");
  CHECK_EQUAL(api().capture_begin(context.get()), DM_CUDA_OK);
  CHECK_EQUAL(api().allocate(context.get(), 4, &factor), DM_CUDA_OK);
  float two = 2;
  CHECK_EQUAL(api().upload(context.get(), factor, &two, 4), DM_CUDA_OK);
  two = 5;
  CHECK_EQUAL(context.run(op, {x, factor, y}, {1, 3}), DM_CUDA_OK);
  CHECK_EQUAL(api().release(context.get(), factor), DM_CUDA_OK);
  CHECK_EQUAL(api().synchronize(context.get()), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(context.message(),
              "synchronize: expected no capture under way, got one. Try: call it after capture_end");
  CHECK_EQUAL(api().download(context.get(), got.data(), y, 12), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(api().capture_end(context.get(), &graph), DM_CUDA_OK);
  CHECK_EQUAL(api().download(context.get(), got.data(), y, 12), DM_CUDA_OK);
  CHECK((got == std::vector<float>{7, 7, 7}));
  for (const float first : {1.0f, -4.0f}) {
    const float values[] = {first, 2, 3};
    CHECK_EQUAL(api().upload(context.get(), x, values, 12), DM_CUDA_OK);
    CHECK_EQUAL(api().replay(context.get(), graph), DM_CUDA_OK);
    CHECK_EQUAL(api().download(context.get(), got.data(), y, 12), DM_CUDA_OK);
    CHECK((got == std::vector<float>{2 * first, 4, 6}));
  }
  api().graph_destroy(context.get(), graph);
}

TEST("takes a null context for a wrong argument") {
  CHECK_EQUAL(api().synchronize(nullptr), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(api().run(nullptr, 0, nullptr, 0, nullptr, 0), DM_CUDA_INVALID_ARGUMENT);
}
