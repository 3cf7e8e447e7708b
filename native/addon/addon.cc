// SPDX-License-Identifier: Apache-2.0
// The function table of the addon. The only room that knows Node-API; one entry, `run`, for all
// ops.
#include <array>
#include <string>

#include "addon/buffers.h"
#include "addon/calls.h"
#include "addon/device.h"
#include "addon/napi.h"
#include "core/thread-pool.h"
#include "cpu/isa.h"
#include "dm/op.h"

namespace dm::addon {

namespace {

/// Goes up whenever the meaning of an export changes; native/src/loader.ts expects the same number.
constexpr int kAbi = 2;

napi_value op_id(napi_env env, napi_callback_info info) {
  std::string name;
  if (!read_op_name(env, info, &name)) return nullptr;
  napi_value result = nullptr;
  napi_create_int32(env, op_table().find(name), &result);
  return result;
}

napi_value set_threads_of_pool(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  double count = 0;
  if (!read_integer(env, call.values[0], 1, 256, &count)) {
    return fail_argument(env,
                         "setThreads: expected a number of threads 1..256, got something else");
  }
  set_threads(static_cast<int>(count));
  return nullptr;
}

napi_value get_threads(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_int32(env, threads(), &result);
  return result;
}

napi_value run(napi_env env, napi_callback_info info) {
  RunCall call;
  if (!call.read(env, info, *Instance::of(env))) return nullptr;
  const OpArguments arguments{call.buffers(), call.buffer_count(), call.numbers(),
                              call.number_count()};
  const Status status = op_table().run(call.op(), arguments);
  return status.ok() ? nullptr : fail(env, status);
}

napi_property_descriptor method(const char* name, napi_callback function) {
  return {name, nullptr, function, nullptr, nullptr, nullptr, napi_enumerable, nullptr};
}

napi_property_descriptor constant(const char* name, napi_value value) {
  return {name, nullptr, nullptr, nullptr, nullptr, value, napi_enumerable, nullptr};
}

}  // namespace

napi_value initialize(napi_env env, napi_value exports) {
  if (!Instance::attach(env)) {
    return fail(env, {StatusCode::kOutOfMemory, "addon: expected memory to start, got none"});
  }
  napi_value abi = nullptr;
  napi_create_int32(env, kAbi, &abi);
  const std::array properties{
      constant("abi", abi),
      constant("version", text(env, DM_VERSION)),
      constant("isa", text(env, cpu::isa_name(cpu::isa()))),
      napi_property_descriptor{"threads", nullptr, nullptr, get_threads, nullptr, nullptr,
                               napi_enumerable, nullptr},
      method("setThreads", set_threads_of_pool),
      method("allocate", allocate),
      method("free", free_buffer),
      method("write", write),
      method("read", read),
      method("memory", memory),
      method("trim", trim),
      method("opId", op_id),
      method("run", run),
      method("countDevices", count_devices),
      method("openDevice", open_device),
  };
  napi_define_properties(env, exports, properties.size(), properties.data());
  return exports;
}

}  // namespace dm::addon

NAPI_MODULE_INIT() { return dm::addon::initialize(env, exports); }
