// SPDX-License-Identifier: Apache-2.0
// The context behind the C table: its functions (api*.cc) run through `guarded`, which lets no exception past and keeps the sentence.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "cuda/core/device.h"
#include "cuda/include/dm_cuda.h"

struct dm_cuda_context {
  std::unique_ptr<dm::cuda::DeviceContext> device;
  std::string message;
};

namespace dm::cuda {

/// What `message` answers for no context, on this thread.
std::string& last_message();

dm_cuda_status code_of(StatusCode code);

Status fits(const char* where, std::uint64_t wanted, std::uint64_t there);

/// Runs `body` on the context's device and reports its fault; nothing is thrown past here.
template <class Body>
dm_cuda_status guarded(dm_cuda_context* context, const Body& body) {
  if (context == nullptr || context->device == nullptr) return DM_CUDA_INVALID_ARGUMENT;
  DeviceContext& device = *context->device;
  if (device.lost()) {
    context->message =
        "device: expected a device in order, got one that an earlier fault has spoilt. Try: start "
        "the process again";
    return DM_CUDA_DEVICE_LOST;
  }
  try {
    device.clear();
    device.enter();
    const Status own = device.status().ok() ? body(device) : Status();
    const Status& status = own.ok() ? device.status() : own;
    if (status.ok()) return DM_CUDA_OK;
    context->message = status.message();
    return device.lost() ? DM_CUDA_DEVICE_LOST : code_of(status.code());
  } catch (const std::exception& error) {
    context->message = error.what();
    return DM_CUDA_INTERNAL;
  }
}

/// The same for what cannot be recorded.
template <class Body>
dm_cuda_status guarded_uncaptured(const char* where, dm_cuda_context* context, const Body& body) {
  return guarded(context, [&](DeviceContext& device) -> Status {
    if (!device.capturing()) return body(device);
    return invalid_argument(std::string(where) +
                            ": expected no capture under way, got one. Try: call it after "
                            "capture_end");
  });
}

// ---- api-memory.cc -----------------------------------------------------------------------------------------------------------------
dm_cuda_status allocate(dm_cuda_context* context, std::uint64_t bytes, dm_cuda_buffer* buffer);
dm_cuda_status release(dm_cuda_context* context, dm_cuda_buffer buffer);
dm_cuda_status upload(dm_cuda_context* context, dm_cuda_buffer to, const void* from,
                      std::uint64_t bytes);
dm_cuda_status download(dm_cuda_context* context, void* to, dm_cuda_buffer from,
                        std::uint64_t bytes);
dm_cuda_status memory(dm_cuda_context* context, dm_cuda_memory* out);
dm_cuda_status trim(dm_cuda_context* context);
dm_cuda_status stage(dm_cuda_context* context, std::uint64_t bytes, void** memory);
dm_cuda_status unstage(dm_cuda_context* context, void* memory);
dm_cuda_status upload_staged(dm_cuda_context* context, dm_cuda_buffer to, void* memory,
                             std::uint64_t bytes);
dm_cuda_status fetch(dm_cuda_context* context, dm_cuda_buffer from, std::uint64_t bytes,
                     dm_cuda_fetch** fetch);
dm_cuda_status fetch_wait(dm_cuda_fetch* fetch, void* to);
void fetch_end(dm_cuda_context* context, dm_cuda_fetch* fetch);

// ---- api-stream.cc -----------------------------------------------------------------------------------------------------------------
dm_cuda_status synchronize(dm_cuda_context* context);
void* stream(dm_cuda_context* context);
dm_cuda_status time_begin(dm_cuda_context* context);
dm_cuda_status time_end(dm_cuda_context* context, double* milliseconds);
dm_cuda_status range_push(dm_cuda_context* context, const char* name);
dm_cuda_status range_pop(dm_cuda_context* context);
dm_cuda_status capture_begin(dm_cuda_context* context);
dm_cuda_status capture_end(dm_cuda_context* context, dm_cuda_graph** graph);
dm_cuda_status replay(dm_cuda_context* context, dm_cuda_graph* graph);
void graph_destroy(dm_cuda_context* context, dm_cuda_graph* graph);

}  // namespace dm::cuda
