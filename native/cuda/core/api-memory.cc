// SPDX-License-Identifier: Apache-2.0
// The C table's memory: buffers, copies both ways, staging, fetches.
#include <algorithm>
#include <cstring>
#include <string>

#include "cuda/core/context.h"

namespace dm::cuda {

Status fits(const char* where, std::uint64_t wanted, std::uint64_t there) {
  if (wanted <= there) return {};
  return invalid_argument(std::string(where) + ": expected at most " + std::to_string(there) +
                          " bytes, got " + std::to_string(wanted));
}

dm_cuda_status allocate(dm_cuda_context* context, std::uint64_t bytes, dm_cuda_buffer* buffer) {
  *buffer = {};
  return guarded(context, [=](DeviceContext& device) -> Status {
    void* const data = device.allocate(bytes);
    if (data != nullptr) *buffer = {data, bytes};
    return {};
  });
}

dm_cuda_status release(dm_cuda_context* context, dm_cuda_buffer buffer) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    if (buffer.data != nullptr) device.release(buffer.data);
    return {};
  });
}

dm_cuda_status upload(dm_cuda_context* context, dm_cuda_buffer to, const void* from,
                      std::uint64_t bytes) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    const Status status = fits("upload", bytes, to.bytes);
    if (status.ok() && bytes > 0) device.upload(to.data, from, bytes);
    return status;
  });
}

dm_cuda_status download(dm_cuda_context* context, void* to, dm_cuda_buffer from,
                        std::uint64_t bytes) {
  return guarded_uncaptured("download", context, [=](DeviceContext& device) -> Status {
    const Status status = fits("download", bytes, from.bytes);
    if (status.ok()) device.download(to, from.data, bytes);
    return status;
  });
}

dm_cuda_status memory(dm_cuda_context* context, dm_cuda_memory* out) {
  return guarded(context, [out](DeviceContext& device) -> Status {
    const MemoryFacts facts = device.memory();
    dm_cuda_memory full{};
    full.struct_size = out->struct_size;
    full.in_use = facts.in_use;
    full.cached = facts.cached;
    full.peak = facts.peak;
    full.workspace = facts.workspace;
    full.staging = facts.staging;
    std::memcpy(out, &full, std::min<std::size_t>(out->struct_size, sizeof full));
    return {};
  });
}

dm_cuda_status trim(dm_cuda_context* context) {
  return guarded_uncaptured("trim", context, [](DeviceContext& device) -> Status {
    device.shadows().forget();
    device.trim();
    return {};
  });
}

dm_cuda_status stage(dm_cuda_context* context, std::uint64_t bytes, void** memory) {
  *memory = nullptr;
  return guarded(context, [=](DeviceContext& device) -> Status {
    *memory = device.stage(bytes);
    return {};
  });
}

dm_cuda_status unstage(dm_cuda_context* context, void* memory) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    device.unstage(memory);
    return {};
  });
}

dm_cuda_status upload_staged(dm_cuda_context* context, dm_cuda_buffer to, void* memory,
                             std::uint64_t bytes) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    const Status status = fits("upload_staged", bytes, to.bytes);
    if (status.ok()) device.upload_staged(to.data, memory, bytes);
    return status;
  });
}

dm_cuda_status fetch(dm_cuda_context* context, dm_cuda_buffer from, std::uint64_t bytes,
                     dm_cuda_fetch** fetch) {
  *fetch = nullptr;
  return guarded_uncaptured("fetch", context, [=](DeviceContext& device) -> Status {
    const Status status = fits("fetch", bytes, from.bytes);
    if (status.ok()) *fetch = reinterpret_cast<dm_cuda_fetch*>(device.fetch(from.data, bytes));
    return status;
  });
}

dm_cuda_status fetch_wait(dm_cuda_fetch* fetch, void* to) {
  if (fetch == nullptr) return DM_CUDA_INVALID_ARGUMENT;
  try {
    const Status status = reinterpret_cast<Fetch*>(fetch)->wait(to);
    if (status.ok()) return DM_CUDA_OK;
    last_message() = status.message();
    // Nothing but the device fails here.
    return DM_CUDA_DEVICE_LOST;
  } catch (const std::exception& error) {
    last_message() = error.what();
    return DM_CUDA_INTERNAL;
  }
}

void fetch_end(dm_cuda_context* context, dm_cuda_fetch* fetch) {
  if (context == nullptr || fetch == nullptr) return;
  context->device->enter();
  context->device->fetch_end(reinterpret_cast<Fetch*>(fetch));
}

}  // namespace dm::cuda
