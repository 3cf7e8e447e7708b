// SPDX-License-Identifier: Apache-2.0
// The function table of the addon. The only room that knows Node-API; one entry, `run`, for all
// ops.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "addon/buffers.h"
#include "addon/napi.h"
#include "core/thread-pool.h"
#include "cpu/isa.h"
#include "dm/op.h"

namespace dm::addon {

namespace {

/// Goes up whenever the meaning of an export changes; native/src/loader.ts expects the same number.
constexpr int kAbi = 1;

constexpr std::size_t kFewBuffers = 16;

napi_value op_id(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  std::size_t length = 0;
  std::array<char, 128> name;
  if (napi_get_value_string_utf8(env, call.values[0], name.data(), name.size(), &length) !=
      napi_ok) {
    return fail_argument(env, "opId: expected the name of an op, got something else");
  }
  napi_value result = nullptr;
  napi_create_int32(env, op_table().find({name.data(), length}), &result);
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

/// The list of buffers; false with an error pending.
bool read_buffers(napi_env env, napi_value list, std::size_t count, Buffer** out) {
  const Instance& instance = *Instance::of(env);
  for (std::size_t i = 0; i < count; ++i) {
    napi_value element = nullptr;
    out[i] = napi_get_element(env, list, static_cast<std::uint32_t>(i), &element) == napi_ok
                 ? buffer_of(env, instance, element)
                 : nullptr;
    if (out[i] == nullptr) {
      fail_argument(
          env, "run: expected a buffer as buffer " + std::to_string(i) + ", got something else");
      return false;
    }
  }
  return true;
}

/// run(opId, buffers, numbers: Float64Array, count = numbers.length).
napi_value run(napi_env env, napi_callback_info info) {
  const Call<4> call(env, info);
  double id = 0;
  if (!read_integer(env, call.values[0], 0, 1e6, &id)) {
    return fail_argument(env, "run: expected the id of an op, got something else");
  }
  std::uint32_t buffer_count = 0;
  if (napi_get_array_length(env, call.values[1], &buffer_count) != napi_ok) {
    return fail_argument(env, "run: expected an array of buffers, got something else");
  }
  TypedArray numbers;
  if (!read_typed_array(env, call.values[2], &numbers) || numbers.type != napi_float64_array) {
    return fail_argument(env, "run: expected a Float64Array of numbers, got something else");
  }
  double number_count = static_cast<double>(numbers.bytes / sizeof(double));
  napi_valuetype last = napi_undefined;
  napi_typeof(env, call.values[3], &last);
  if (last != napi_undefined &&
      !read_integer(env, call.values[3], 0, number_count, &number_count)) {
    return fail_argument(env,
                         "run: expected a count of at most numbers.length, got something else");
  }
  std::array<Buffer*, kFewBuffers> few;
  std::vector<Buffer*> many;
  Buffer** buffers = few.data();
  if (buffer_count > kFewBuffers) {
    many.resize(buffer_count);
    buffers = many.data();
  }
  if (!read_buffers(env, call.values[1], buffer_count, buffers)) return nullptr;
  const OpArguments arguments{buffers, buffer_count, static_cast<const double*>(numbers.data),
                              static_cast<std::size_t>(number_count)};
  const Status status = op_table().run(static_cast<std::size_t>(id), arguments);
  return status.ok() ? nullptr : fail(env, status);
}

napi_value text(napi_env env, const char* value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result);
  return result;
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
  };
  napi_define_properties(env, exports, properties.size(), properties.data());
  return exports;
}

}  // namespace dm::addon

NAPI_MODULE_INIT() { return dm::addon::initialize(env, exports); }
