// SPDX-License-Identifier: Apache-2.0
#include "addon/device-methods.h"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "addon/calls.h"
#include "addon/device-fetch.h"
#include "addon/napi.h"

namespace dm::addon {

namespace {

/// The device that a method was made for.
DeviceMemory& device_of(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  return *static_cast<DeviceMemory*>(data);
}

napi_value undefined_or(napi_env env, const Status& status) {
  return status.ok() ? nullptr : fail(env, status);
}

// ---- buffers ------------------------------------------------------------------------------------

napi_value allocate_buffer(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  AllocateCall call;
  if (!call.read(env, info)) return nullptr;
  return memory.make(env, call.bytes);
}

napi_value free_device_buffer(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  const Call<1> call(env, info);
  Buffer* buffer = memory.find(env, call.values[0]);
  if (buffer == nullptr) return fail_argument(env, "free: expected a buffer, got something else");
  memory.free(env, *buffer);
  return nullptr;
}

napi_value write_buffer(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  TransferCall call;
  if (!call.read(env, info, memory, "write")) return nullptr;
  auto& buffer = *static_cast<DeviceBuffer*>(call.buffer);
  if (buffer.bytes == 0) return nullptr;
  if (buffer.staged == nullptr) {
    const Status status = memory.check(memory.api->stage(memory.context, buffer.bytes, &buffer.staged));
    if (!status.ok()) return fail(env, status);
  }
  std::memcpy(buffer.staged, call.values, buffer.bytes);
  return nullptr;
}

/// Has what was written to a buffer travel now, not when an op uses it.
napi_value prefetch(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  const Call<1> call(env, info);
  auto* const buffer = static_cast<DeviceBuffer*>(memory.find(env, call.values[0]));
  if (buffer == nullptr || buffer->freed) {
    return fail_argument(env, "prefetch: expected a buffer in use, got something else");
  }
  dm_cuda_buffer there{};
  return undefined_or(env, memory.on_device(*buffer, &there));
}

/// Values that need no wait: those that have not left the host, and none at all.
bool read_at_once(const TransferCall& call) {
  const auto& buffer = *static_cast<const DeviceBuffer*>(call.buffer);
  if (buffer.bytes == 0) return true;
  if (buffer.staged != nullptr) {
    std::memcpy(call.values, buffer.staged, buffer.bytes);
  } else if (buffer.data == nullptr) {
    std::memset(call.values, 0, buffer.bytes);
  } else {
    return false;
  }
  return true;
}

napi_value read_buffer(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  TransferCall call;
  if (!call.read(env, info, memory, "read") || read_at_once(call)) return nullptr;
  const dm_cuda_buffer from{call.buffer->data, call.buffer->bytes};
  return undefined_or(env, memory.check(memory.api->download(memory.context, call.values, from, from.bytes)));
}

napi_value fetch_buffer(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  TransferCall call;
  if (!call.read(env, info, memory, "read") || read_at_once(call)) return nullptr;
  return start_fetch(env, memory, call);
}

napi_value device_memory(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  dm_cuda_memory facts{};
  facts.struct_size = sizeof facts;
  const Status status = memory.check(memory.api->memory(memory.context, &facts));
  if (!status.ok()) return fail(env, status);
  napi_value result = nullptr;
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  set_number(env, result, "inUse", static_cast<double>(facts.in_use));
  set_number(env, result, "pooled", static_cast<double>(facts.cached));
  set_number(env, result, "peak", static_cast<double>(facts.peak));
  set_number(env, result, "workspace", static_cast<double>(facts.workspace));
  set_number(env, result, "staging", static_cast<double>(facts.staging));
  set_number(env, result, "buffers", static_cast<double>(memory.count()));
  return result;
}

napi_value trim_device(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  return undefined_or(env, memory.check(memory.api->trim(memory.context)));
}

napi_value sweep(napi_env env, napi_callback_info info) {
  device_of(env, info).sweep(env);
  return nullptr;
}

// ---- ops ----------------------------------------------------------------------------------------

napi_value device_op_id(napi_env env, napi_callback_info info) {
  const DeviceMemory& memory = device_of(env, info);
  std::string name;
  if (!read_op_name(env, info, &name)) return nullptr;
  napi_value result = nullptr;
  napi_create_int32(env, memory.api->find(name.c_str()), &result);
  return result;
}

napi_value run_op(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  RunCall call;
  if (!call.read(env, info, memory)) return nullptr;
  constexpr std::size_t kFew = 16;
  std::array<dm_cuda_buffer, kFew> few;
  std::vector<dm_cuda_buffer> many;
  dm_cuda_buffer* buffers = few.data();
  if (call.buffer_count() > kFew) {
    many.resize(call.buffer_count());
    buffers = many.data();
  }
  for (std::size_t i = 0; i < call.buffer_count(); ++i) {
    auto& buffer = *static_cast<DeviceBuffer*>(call.buffers()[i]);
    if (buffer.freed) {
      return fail_argument(env, "run: expected buffer " + std::to_string(i) + " in use, got a freed one");
    }
    const Status status = memory.on_device(buffer, &buffers[i]);
    if (!status.ok()) return fail(env, status);
  }
  const dm_cuda_status status =
      memory.api->run(memory.context, static_cast<std::int32_t>(call.op()), buffers, call.buffer_count(),
                      call.numbers(), call.number_count());
  return undefined_or(env, memory.check(status));
}

napi_value synchronize(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  return undefined_or(env, memory.check(memory.api->synchronize(memory.context)));
}

// ---- time, ranges, graphs -------------------------------------------------------------------------

napi_value time_begin(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  return undefined_or(env, memory.check(memory.api->time_begin(memory.context)));
}

napi_value time_end(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  double milliseconds = 0;
  const Status status = memory.check(memory.api->time_end(memory.context, &milliseconds));
  if (!status.ok()) return fail(env, status);
  napi_value result = nullptr;
  napi_create_double(env, milliseconds, &result);
  return result;
}

napi_value range_push(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  const Call<1> call(env, info);
  std::array<char, 256> name{};
  std::size_t length = 0;
  if (napi_get_value_string_utf8(env, call.values[0], name.data(), name.size(), &length) != napi_ok) {
    return fail_argument(env, "rangePush: expected a name, got something else");
  }
  return undefined_or(env, memory.check(memory.api->range_push(memory.context, name.data())));
}

napi_value range_pop(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  return undefined_or(env, memory.check(memory.api->range_pop(memory.context)));
}

napi_value capture_begin(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  return undefined_or(env, memory.check(memory.api->capture_begin(memory.context)));
}

/// The recorded graph as an External, which goes when it is freed or collected.
napi_value capture_end(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  dm_cuda_graph* graph = nullptr;
  const Status status = memory.check(memory.api->capture_end(memory.context, &graph));
  if (!status.ok()) return fail(env, status);
  return memory.make(env, 0, graph);
}

napi_value replay(napi_env env, napi_callback_info info) {
  DeviceMemory& memory = device_of(env, info);
  const Call<1> call(env, info);
  const auto* const buffer = static_cast<DeviceBuffer*>(memory.find(env, call.values[0]));
  if (buffer == nullptr || buffer->graph == nullptr) {
    return fail_argument(env, "replay: expected a graph, got something else");
  }
  return undefined_or(env, memory.check(memory.api->replay(memory.context, buffer->graph)));
}

}  // namespace

napi_value device_object(napi_env env, DeviceMemory& memory) {
  napi_value object = nullptr;
  dm_cuda_device facts{};
  facts.struct_size = sizeof facts;
  const Status status = memory.check(memory.api->describe(memory.context, &facts));
  if (!status.ok()) return fail(env, status);
  if (napi_create_object(env, &object) != napi_ok) return nullptr;
  napi_set_named_property(env, object, "name", text(env, facts.name));
  set_number(env, object, "major", facts.major);
  set_number(env, object, "minor", facts.minor);
  set_number(env, object, "multiprocessors", facts.multiprocessors);
  set_number(env, object, "driver", facts.driver);
  set_number(env, object, "totalBytes", static_cast<double>(facts.total_bytes));
  struct Method {
    const char* name;
    napi_callback function;
  };
  constexpr std::array methods{
      Method{"allocate", allocate_buffer}, Method{"free", free_device_buffer},
      Method{"write", write_buffer},       Method{"read", read_buffer},
      Method{"fetch", fetch_buffer},       Method{"memory", device_memory},
      Method{"prefetch", prefetch},        Method{"trim", trim_device},         Method{"sweep", sweep},
      Method{"opId", device_op_id},        Method{"run", run_op},
      Method{"synchronize", synchronize},  Method{"timeBegin", time_begin},
      Method{"timeEnd", time_end},         Method{"rangePush", range_push},
      Method{"rangePop", range_pop},       Method{"captureBegin", capture_begin},
      Method{"captureEnd", capture_end},   Method{"replay", replay},
  };
  for (const auto& [name, function] : methods) {
    napi_value method = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, &memory, &method);
    napi_set_named_property(env, object, name, method);
  }
  return object;
}

}  // namespace dm::addon
