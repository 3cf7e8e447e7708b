// SPDX-License-Identifier: Apache-2.0
// The C table over a device: checks what comes in, and turns every fault into a code and a sentence. Here are contexts and ops.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cuda/core/context.h"
#include "cuda/include/dm_cuda.h"

namespace dm::cuda {

std::string& last_message() {
  static thread_local std::string message;
  return message;
}

dm_cuda_status code_of(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return DM_CUDA_OK;
    case StatusCode::kInvalidArgument:
      return DM_CUDA_INVALID_ARGUMENT;
    case StatusCode::kOutOfMemory:
      return DM_CUDA_OUT_OF_MEMORY;
    case StatusCode::kUnsupported:
      return DM_CUDA_UNSUPPORTED;
    case StatusCode::kInternal:
      return DM_CUDA_INTERNAL;
  }
  return DM_CUDA_INTERNAL;
}

namespace {

dm_cuda_status device_count(std::int32_t* count) {
  int found = 0;
  const Status status = count_devices(found);
  *count = found;
  if (status.ok()) return DM_CUDA_OK;
  last_message() = status.message();
  return DM_CUDA_NO_DEVICE;
}

dm_cuda_status create(std::int32_t index, dm_cuda_context** context) {
  *context = nullptr;
  try {
    std::int32_t count = 0;
    const dm_cuda_status counted = device_count(&count);
    if (counted != DM_CUDA_OK) return counted;
    auto made = std::make_unique<dm_cuda_context>();
    const Status status = open_device(index, made->device);
    if (!status.ok()) {
      last_message() = status.message();
      return code_of(status.code());
    }
    *context = made.release();
    return DM_CUDA_OK;
  } catch (const std::exception& error) {
    last_message() = error.what();
    return DM_CUDA_INTERNAL;
  }
}

void destroy(dm_cuda_context* context) { delete context; }

const char* message(const dm_cuda_context* context) {
  return context == nullptr ? last_message().c_str() : context->message.c_str();
}

dm_cuda_status describe(dm_cuda_context* context, dm_cuda_device* out) {
  return guarded(context, [out](DeviceContext& device) -> Status {
    const DeviceFacts facts = device.facts();
    dm_cuda_device full{};
    full.struct_size = out->struct_size;
    full.index = facts.index;
    std::strncpy(full.name, facts.name.c_str(), sizeof full.name - 1);
    full.major = facts.major;
    full.minor = facts.minor;
    full.multiprocessors = facts.multiprocessors;
    full.driver = facts.driver;
    full.runtime = facts.runtime;
    full.total_bytes = facts.total_bytes;
    full.free_bytes = facts.free_bytes;
    std::memcpy(out, &full, std::min<std::size_t>(out->struct_size, sizeof full));
    return {};
  });
}

std::int32_t find(const char* op) { return device_op_table().find(op); }

std::int32_t op_count() { return static_cast<std::int32_t>(device_op_table().size()); }

const char* op_name(std::int32_t op) {
  if (op < 0 || op >= op_count()) return nullptr;
  return device_op_table().name(static_cast<std::size_t>(op)).c_str();
}

dm_cuda_status run(dm_cuda_context* context, std::int32_t op, const dm_cuda_buffer* buffers,
                   std::uint64_t buffer_count, const double* numbers, std::uint64_t number_count) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    std::vector<Buffer> all(buffer_count);
    std::vector<Buffer*> pointers(buffer_count);
    for (std::size_t i = 0; i < buffer_count; ++i) {
      all[i] = {buffers[i].data, buffers[i].bytes, false};
      pointers[i] = &all[i];
    }
    // A negative id is past the end as well.
    return device_op_table().run(device, static_cast<std::size_t>(static_cast<std::uint32_t>(op)),
                                 {pointers.data(), buffer_count, numbers, number_count});
  });
}

constexpr dm_cuda_api kApi{.struct_size = sizeof(dm_cuda_api),
                           .abi = DM_CUDA_ABI,
                           .device_count = device_count,
                           .create = create,
                           .destroy = destroy,
                           .message = message,
                           .describe = describe,
                           .allocate = allocate,
                           .release = release,
                           .upload = upload,
                           .download = download,
                           .synchronize = synchronize,
                           .stream = stream,
                           .find = find,
                           .op_count = op_count,
                           .op_name = op_name,
                           .run = run,
                           .memory = memory,
                           .trim = trim,
                           .stage = stage,
                           .unstage = unstage,
                           .upload_staged = upload_staged,
                           .fetch = fetch,
                           .fetch_wait = fetch_wait,
                           .fetch_end = fetch_end,
                           .time_begin = time_begin,
                           .time_end = time_end,
                           .range_push = range_push,
                           .range_pop = range_pop,
                           .capture_begin = capture_begin,
                           .capture_end = capture_end,
                           .replay = replay,
                           .graph_destroy = graph_destroy};

}  // namespace

}  // namespace dm::cuda

extern "C" const dm_cuda_api* dm_cuda_get_api(std::uint32_t abi) {
  return abi == DM_CUDA_ABI ? &dm::cuda::kApi : nullptr;
}
