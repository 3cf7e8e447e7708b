// SPDX-License-Identifier: Apache-2.0
// A GPU as JavaScript sees it: an object with the methods that the addon has for the processor, over the C table of a
// device library (cuda/include/dm_cuda.h), which is opened by its path and never linked.
//
// A buffer's memory on the device is made when an op first uses the buffer; what is written to it waits in pinned memory
// until then. So what no op uses never travels.
#pragma once

#include <node_api.h>

#include <string>

#include "addon/buffer-owner.h"
#include "cuda/include/dm_cuda.h"
#include "dm/status.h"

namespace dm::addon {

/// `data` is the device's, or null where it has none yet. Recorded graphs are kept as buffers of no bytes.
struct DeviceBuffer : Buffer {
  void* staged = nullptr;      ///< what was written, in pinned memory of the library
  napi_ref external = nullptr;  ///< weak: empty once JavaScript has dropped the buffer
  dm_cuda_graph* graph = nullptr;
};

/// The code that JavaScript's errors carry.
StatusCode code_of(dm_cuda_status status);

/// One context, for the thread that opened it.
class DeviceMemory final : public BufferOwner {
 public:
  DeviceMemory(const dm_cuda_api* table, dm_cuda_context* opened) : api(table), context(opened) {}

  /// An External for a new buffer of so many bytes, or for a graph; null with an error pending, and the graph gone.
  napi_value make(napi_env env, std::size_t bytes, dm_cuda_graph* graph = nullptr);
  /// The buffer's memory on the device, with what was written to it.
  Status on_device(DeviceBuffer& buffer, dm_cuda_buffer* memory);
  /// Frees the buffers that JavaScript has dropped but whose finalizers have not run yet.
  void sweep(napi_env env);
  /// What the library said of its last failure.
  Status fault(dm_cuda_status status) const;
  Status check(dm_cuda_status status) const { return status == DM_CUDA_OK ? Status() : fault(status); }

  const dm_cuda_api* const api;
  dm_cuda_context* const context;

 private:
  ~DeviceMemory() override { api->destroy(context); }
  void release(Buffer& buffer) override;
  void discard(napi_env env, Buffer* buffer) override;
  /// A step's rise and fall by gigabytes would have it run several times a step.
  bool collector_is_told() const override { return false; }
};

/// countDevices(library): `{count, problem}`, the problem null where there is a device.
napi_value count_devices(napi_env env, napi_callback_info info);
/// openDevice(library, device): the device's object (native/src/cuda/device.ts).
napi_value open_device(napi_env env, napi_callback_info info);

}  // namespace dm::addon
