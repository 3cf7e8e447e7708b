// SPDX-License-Identifier: Apache-2.0
// Lifetime and transfer of buffers.
#include "addon/buffers.h"

#include <cstring>
#include <new>
#include <string>

#include "addon/napi.h"
#include "core/buffer-pool.h"

namespace dm::addon {

namespace {

constexpr double kMostBytes = 9007199254740991.0;

/// Growth that V8 is not told of, besides a quarter of what it knows of.
constexpr std::int64_t kUnreported = std::int64_t{64} << 20;

/// Tells V8, whose collector would otherwise not know that dropping a tensor pays; but not of every rise and fall: it answers with
/// collections, and a training step allocates and frees more than all there is at its start.
void account(napi_env env, Instance& instance, std::int64_t bytes) {
  instance.bytes += bytes;
  const std::int64_t change = instance.bytes - instance.reported;
  const bool grown = change > instance.reported / 4 + kUnreported;
  const bool shrunk = instance.bytes < instance.reported / 2;
  if (!grown && !shrunk) return;
  std::int64_t total = 0;
  napi_adjust_external_memory(env, change, &total);
  instance.reported = instance.bytes;
}

void release_block(napi_env env, Instance& instance, Buffer& buffer) {
  if (buffer.freed) return;
  buffer.freed = true;
  BufferPool::instance().release(buffer.data, buffer.bytes);
  account(env, instance, -static_cast<std::int64_t>(buffer.bytes));
  buffer.data = nullptr;
}

void finalize_buffer(napi_env env, void* data, void* hint) {
  auto* buffer = static_cast<Buffer*>(data);
  auto* instance = static_cast<Instance*>(hint);
  release_block(env, *instance, *buffer);
  instance->buffers.erase(buffer);
  delete buffer;
  if (instance->closed && instance->buffers.empty()) delete instance;
}

void finalize_instance(napi_env, void* data, void*) {
  auto* instance = static_cast<Instance*>(data);
  instance->closed = true;
  if (instance->buffers.empty()) delete instance;
}

/// The buffer and the typed array of `write` and `read`; null after an error.
Buffer* transfer(napi_env env, napi_callback_info info, const char* where, void** array) {
  const Call<2> call(env, info);
  Buffer* buffer = buffer_of(env, *Instance::of(env), call.values[0]);
  if (buffer == nullptr || buffer->freed) {
    fail_argument(env, std::string(where) + ": expected a buffer in use, got " +
                           (buffer == nullptr ? "something else" : "a freed one"));
    return nullptr;
  }
  TypedArray typed;
  if (!read_typed_array(env, call.values[1], &typed)) {
    fail_argument(env, std::string(where) + ": expected a typed array, got something else");
    return nullptr;
  }
  if (typed.bytes != buffer->bytes) {
    fail_argument(env, std::string(where) + ": expected a typed array of " +
                           std::to_string(buffer->bytes) + " bytes, got " +
                           std::to_string(typed.bytes));
    return nullptr;
  }
  *array = typed.data;
  return buffer;
}

}  // namespace

Instance* Instance::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Instance*>(data);
}

bool Instance::attach(napi_env env) {
  auto* instance = new (std::nothrow) Instance;
  return instance != nullptr &&
         napi_set_instance_data(env, instance, finalize_instance, nullptr) == napi_ok;
}

Buffer* buffer_of(napi_env env, const Instance& instance, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok) return nullptr;
  auto* buffer = static_cast<Buffer*>(data);
  return instance.buffers.contains(buffer) ? buffer : nullptr;
}

napi_value allocate(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  double bytes = 0;
  if (!read_integer(env, call.values[0], 0, kMostBytes, &bytes)) {
    return fail_argument(env, "allocate: expected a number of bytes, got something else");
  }
  const auto size = static_cast<std::size_t>(bytes);
  void* block = BufferPool::instance().allocate(size);
  auto* buffer = new (std::nothrow) Buffer{block, size};
  if (buffer == nullptr || (size > 0 && block == nullptr)) {
    delete buffer;
    BufferPool::instance().release(block, size);
    return fail(env, {StatusCode::kOutOfMemory,
                      "allocate: expected " + std::to_string(size) + " bytes of memory, got none"});
  }
  Instance* instance = Instance::of(env);
  napi_value external = nullptr;
  if (napi_create_external(env, buffer, finalize_buffer, instance, &external) != napi_ok) {
    BufferPool::instance().release(block, size);
    delete buffer;
    return fail(env, {StatusCode::kInternal, "allocate: expected an External, got none"});
  }
  instance->buffers.insert(buffer);
  account(env, *instance, static_cast<std::int64_t>(size));
  return external;
}

napi_value free_buffer(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  Instance& instance = *Instance::of(env);
  Buffer* buffer = buffer_of(env, instance, call.values[0]);
  if (buffer == nullptr) {
    return fail_argument(env, "free: expected a buffer, got something else");
  }
  release_block(env, instance, *buffer);  // a second time does nothing
  return nullptr;
}

napi_value write(napi_env env, napi_callback_info info) {
  void* array = nullptr;
  Buffer* buffer = transfer(env, info, "write", &array);
  if (buffer == nullptr) return nullptr;
  if (buffer->bytes > 0) std::memcpy(buffer->data, array, buffer->bytes);
  return nullptr;
}

napi_value read(napi_env env, napi_callback_info info) {
  void* array = nullptr;
  const Buffer* buffer = transfer(env, info, "read", &array);
  if (buffer != nullptr && buffer->bytes > 0) std::memcpy(array, buffer->data, buffer->bytes);
  return nullptr;
}

napi_value memory(napi_env env, napi_callback_info) {
  const PoolStatistics statistics = BufferPool::instance().statistics();
  napi_value result = nullptr;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  const auto set = [&](const char* name, std::size_t bytes) {
    napi_value value = nullptr;
    if (napi_create_double(env, static_cast<double>(bytes), &value) != napi_ok) return;
    napi_set_named_property(env, result, name, value);
  };
  set("inUse", statistics.in_use);
  set("pooled", statistics.pooled);
  set("peak", statistics.peak);
  set("buffers", Instance::of(env)->buffers.size());
  return result;
}

napi_value trim(napi_env, napi_callback_info) {
  BufferPool::instance().trim();
  return nullptr;
}

}  // namespace dm::addon
