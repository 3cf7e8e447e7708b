// SPDX-License-Identifier: Apache-2.0
// The C table's stream: waiting, timing, ranges, and work that is recorded once and replayed.
#include "cuda/core/context.h"

namespace dm::cuda {

dm_cuda_status synchronize(dm_cuda_context* context) {
  return guarded_uncaptured("synchronize", context, [](DeviceContext& device) -> Status {
    device.synchronize();
    return {};
  });
}

void* stream(dm_cuda_context* context) {
  return context == nullptr ? nullptr : context->device->stream();
}

dm_cuda_status time_begin(dm_cuda_context* context) {
  return guarded_uncaptured("time_begin", context, [](DeviceContext& device) -> Status {
    device.time_begin();
    return {};
  });
}

dm_cuda_status time_end(dm_cuda_context* context, double* milliseconds) {
  *milliseconds = 0;
  return guarded_uncaptured("time_end", context, [=](DeviceContext& device) -> Status {
    *milliseconds = device.time_end();
    return {};
  });
}

dm_cuda_status range_push(dm_cuda_context* context, const char* name) {
  return guarded(context, [=](DeviceContext& device) -> Status {
    device.range_push(name);
    return {};
  });
}

dm_cuda_status range_pop(dm_cuda_context* context) {
  return guarded(context, [](DeviceContext& device) -> Status {
    device.range_pop();
    return {};
  });
}

dm_cuda_status capture_begin(dm_cuda_context* context) {
  return guarded_uncaptured("capture_begin", context, [](DeviceContext& device) -> Status {
    device.capture_begin();
    return {};
  });
}

dm_cuda_status capture_end(dm_cuda_context* context, dm_cuda_graph** graph) {
  *graph = nullptr;
  return guarded(context, [=](DeviceContext& device) -> Status {
    if (!device.capturing()) {
      return invalid_argument("capture_end: expected a capture under way, got none");
    }
    *graph = reinterpret_cast<dm_cuda_graph*>(device.capture_end());
    return {};
  });
}

dm_cuda_status replay(dm_cuda_context* context, dm_cuda_graph* graph) {
  return guarded_uncaptured("replay", context, [=](DeviceContext& device) -> Status {
    if (graph == nullptr) return invalid_argument("replay: expected a graph, got none");
    device.replay(reinterpret_cast<Graph*>(graph));
    return {};
  });
}

void graph_destroy(dm_cuda_context* context, dm_cuda_graph* graph) {
  if (context == nullptr || graph == nullptr) return;
  context->device->enter();
  context->device->graph_destroy(reinterpret_cast<Graph*>(graph));
}

}  // namespace dm::cuda
