// SPDX-License-Identifier: Apache-2.0
// Lifetime and transfer of buffers.
#include "addon/buffers.h"

#include <cstring>
#include <new>
#include <string>

#include "addon/calls.h"
#include "addon/napi.h"
#include "core/buffer-pool.h"

namespace dm::addon {

Instance* Instance::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Instance*>(data);
}

bool Instance::attach(napi_env env) {
  auto* instance = new (std::nothrow) Instance;
  return instance != nullptr && napi_set_instance_data(env, instance, finalize, nullptr) == napi_ok;
}

void Instance::finalize(napi_env, void* data, void*) {
  auto* instance = static_cast<Instance*>(data);
  for (BufferOwner* device : instance->devices_) device->close();
  instance->close();
}

void Instance::release(Buffer& buffer) {
  BufferPool::instance().release(buffer.data, buffer.bytes);
}

void Instance::discard(napi_env, Buffer* buffer) { delete buffer; }

napi_value allocate(napi_env env, napi_callback_info info) {
  AllocateCall call;
  if (!call.read(env, info)) return nullptr;
  void* block = BufferPool::instance().allocate(call.bytes);
  auto* buffer = new (std::nothrow) Buffer{block, call.bytes};
  if (buffer == nullptr || (call.bytes > 0 && block == nullptr)) {
    delete buffer;
    BufferPool::instance().release(block, call.bytes);
    return fail(env, {StatusCode::kOutOfMemory, "allocate: expected " + std::to_string(call.bytes) +
                                                    " bytes of memory, got none"});
  }
  return Instance::of(env)->wrap(env, buffer);
}

napi_value free_buffer(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  Instance& instance = *Instance::of(env);
  Buffer* buffer = instance.find(env, call.values[0]);
  if (buffer == nullptr) {
    return fail_argument(env, "free: expected a buffer, got something else");
  }
  instance.free(env, *buffer);
  return nullptr;
}

napi_value write(napi_env env, napi_callback_info info) {
  TransferCall call;
  if (!call.read(env, info, *Instance::of(env), "write")) return nullptr;
  if (call.buffer->bytes > 0) std::memcpy(call.buffer->data, call.values, call.buffer->bytes);
  return nullptr;
}

napi_value read(napi_env env, napi_callback_info info) {
  TransferCall call;
  if (!call.read(env, info, *Instance::of(env), "read")) return nullptr;
  if (call.buffer->bytes > 0) std::memcpy(call.values, call.buffer->data, call.buffer->bytes);
  return nullptr;
}

napi_value memory(napi_env env, napi_callback_info) {
  const PoolStatistics statistics = BufferPool::instance().statistics();
  napi_value result = nullptr;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  set_number(env, result, "inUse", static_cast<double>(statistics.in_use));
  set_number(env, result, "pooled", static_cast<double>(statistics.pooled));
  set_number(env, result, "peak", static_cast<double>(statistics.peak));
  set_number(env, result, "buffers", static_cast<double>(Instance::of(env)->count()));
  return result;
}

napi_value trim(napi_env, napi_callback_info) {
  BufferPool::instance().trim();
  return nullptr;
}

}  // namespace dm::addon
