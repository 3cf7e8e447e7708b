// SPDX-License-Identifier: Apache-2.0
// Buffers of the processor's memory.
#pragma once

#include <node_api.h>

#include <vector>

#include "addon/buffer-owner.h"

namespace dm::addon {

/// What one JavaScript thread has: buffers of the pool of the process, and the devices it opened.
class Instance final : public BufferOwner {
 public:
  static Instance* of(napi_env env);
  /// Makes the instance of a thread that loads the addon; it goes when the thread and the last of
  /// its buffers have gone.
  static bool attach(napi_env env);
  /// Closes `device` when the thread ends.
  void add(BufferOwner* device) { devices_.push_back(device); }

 private:
  static void finalize(napi_env env, void* data, void* hint);
  void release(Buffer& buffer) override;
  void discard(napi_env env, Buffer* buffer) override;

  std::vector<BufferOwner*> devices_;
};

napi_value allocate(napi_env env, napi_callback_info info);
napi_value free_buffer(napi_env env, napi_callback_info info);
napi_value write(napi_env env, napi_callback_info info);
napi_value read(napi_env env, napi_callback_info info);
napi_value memory(napi_env env, napi_callback_info info);
napi_value trim(napi_env env, napi_callback_info info);

}  // namespace dm::addon
