// SPDX-License-Identifier: Apache-2.0
// The C table over a Device: checks what comes in, and turns every fault into a code and a sentence.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cuda/core/device.h"
#include "cuda/include/dm_cuda.h"

struct dm_cuda_context {
  std::unique_ptr<dm::cuda::Device> device;
  std::string message;
};

namespace dm::cuda {

namespace {

thread_local std::string last_message;

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

/// Runs `body` on the context's device and reports its fault; nothing is thrown past here.
template <class Body>
dm_cuda_status guarded(dm_cuda_context* context, const Body& body) {
  if (context == nullptr || context->device == nullptr) return DM_CUDA_INVALID_ARGUMENT;
  Device& device = *context->device;
  if (device.lost()) {
    context->message =
        "device: expected a device in order, got one that an earlier fault has spoilt. Try: start "
        "the process again";
    return DM_CUDA_DEVICE_LOST;
  }
  try {
    device.clear();
    const Status own = body(device);
    const Status& status = own.ok() ? device.status() : own;
    if (status.ok()) return DM_CUDA_OK;
    context->message = status.message();
    return device.lost() ? DM_CUDA_DEVICE_LOST : code_of(status.code());
  } catch (const std::exception& error) {
    context->message = error.what();
    return DM_CUDA_INTERNAL;
  }
}

dm_cuda_status device_count(std::int32_t* count) {
  int found = 0;
  const Status status = count_devices(found);
  *count = found;
  if (status.ok()) return DM_CUDA_OK;
  last_message = status.message();
  return DM_CUDA_NO_DEVICE;
}

dm_cuda_status create(std::int32_t index, dm_cuda_context** context) {
  *context = nullptr;
  try {
    auto made = std::make_unique<dm_cuda_context>();
    const Status status = open_device(index, made->device);
    if (!status.ok()) {
      last_message = status.message();
      return status.code() == StatusCode::kUnsupported ? DM_CUDA_NO_DEVICE : code_of(status.code());
    }
    *context = made.release();
    return DM_CUDA_OK;
  } catch (const std::exception& error) {
    last_message = error.what();
    return DM_CUDA_INTERNAL;
  }
}

void destroy(dm_cuda_context* context) { delete context; }

const char* message(const dm_cuda_context* context) {
  return context == nullptr ? last_message.c_str() : context->message.c_str();
}

dm_cuda_status describe(dm_cuda_context* context, dm_cuda_device* out) {
  return guarded(context, [out](Device& device) -> Status {
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

dm_cuda_status allocate(dm_cuda_context* context, std::uint64_t bytes, dm_cuda_buffer* buffer) {
  *buffer = {};
  return guarded(context, [=](Device& device) -> Status {
    void* const data = device.allocate(bytes);
    if (data != nullptr) *buffer = {data, bytes};
    return {};
  });
}

dm_cuda_status release(dm_cuda_context* context, dm_cuda_buffer buffer) {
  return guarded(context, [=](Device& device) -> Status {
    if (buffer.data != nullptr) device.release(buffer.data);
    return {};
  });
}

Status fits(const char* where, std::uint64_t wanted, std::uint64_t there) {
  if (wanted <= there) return {};
  return invalid_argument(std::string(where) + ": expected at most " + std::to_string(there) +
                          " bytes, got " + std::to_string(wanted));
}

dm_cuda_status upload(dm_cuda_context* context, dm_cuda_buffer to, const void* from,
                      std::uint64_t bytes) {
  return guarded(context, [=](Device& device) -> Status {
    const Status status = fits("upload", bytes, to.bytes);
    if (status.ok()) device.upload(to.data, from, bytes);
    return status;
  });
}

dm_cuda_status download(dm_cuda_context* context, void* to, dm_cuda_buffer from,
                        std::uint64_t bytes) {
  return guarded(context, [=](Device& device) -> Status {
    const Status status = fits("download", bytes, from.bytes);
    if (status.ok()) device.download(to, from.data, bytes);
    return status;
  });
}

dm_cuda_status synchronize(dm_cuda_context* context) {
  return guarded(context, [](Device& device) -> Status {
    device.synchronize();
    return {};
  });
}

void* stream(dm_cuda_context* context) {
  return context == nullptr ? nullptr : context->device->stream();
}

std::int32_t find(const char* op) { return device_op_table().find(op); }

std::int32_t op_count() { return static_cast<std::int32_t>(device_op_table().size()); }

const char* op_name(std::int32_t op) {
  if (op < 0 || op >= op_count()) return nullptr;
  return device_op_table().name(static_cast<std::size_t>(op)).c_str();
}

dm_cuda_status run(dm_cuda_context* context, std::int32_t op, const dm_cuda_buffer* buffers,
                   std::uint64_t buffer_count, const double* numbers, std::uint64_t number_count) {
  return guarded(context, [=](Device& device) -> Status {
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
                           .run = run};

}  // namespace

}  // namespace dm::cuda

extern "C" const dm_cuda_api* dm_cuda_get_api(std::uint32_t abi) {
  return abi == DM_CUDA_ABI ? &dm::cuda::kApi : nullptr;
}
