// SPDX-License-Identifier: Apache-2.0
#include "addon/device.h"

#include <dlfcn.h>

#include <array>
#include <new>
#include <string>
#include <vector>

#include "addon/buffers.h"
#include "addon/calls.h"
#include "addon/device-methods.h"
#include "addon/napi.h"

namespace dm::addon {

namespace {

/// The path of a library, as the first argument.
bool read_path(napi_env env, napi_value value, std::string* path) {
  std::array<char, 4096> letters;
  std::size_t length = 0;
  if (napi_get_value_string_utf8(env, value, letters.data(), letters.size(), &length) != napi_ok) {
    fail_argument(env, "openDevice: expected the path of a library, got something else");
    return false;
  }
  path->assign(letters.data(), length);
  return true;
}

/// The table of a library; null with an error pending. Libraries stay open until the process ends.
const dm_cuda_api* load_library(napi_env env, const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const reason = dlerror();
    fail(env, {StatusCode::kUnsupported, "openDevice: expected a library that loads, got " +
                                             std::string(reason == nullptr ? path : reason)});
    return nullptr;
  }
  using GetApi = const dm_cuda_api* (*)(std::uint32_t);
  const auto get_api = reinterpret_cast<GetApi>(dlsym(library, "dm_cuda_get_api"));
  const dm_cuda_api* const api = get_api == nullptr ? nullptr : get_api(DM_CUDA_ABI);
  if (api == nullptr || api->struct_size < sizeof(dm_cuda_api)) {
    fail(env, {StatusCode::kUnsupported, "openDevice: expected interface " + std::to_string(DM_CUDA_ABI) +
                                             " of " + path + ", got another"});
    return nullptr;
  }
  return api;
}

}  // namespace

StatusCode code_of(dm_cuda_status status) {
  switch (status) {
    case DM_CUDA_OK:
      return StatusCode::kOk;
    case DM_CUDA_INVALID_ARGUMENT:
      return StatusCode::kInvalidArgument;
    case DM_CUDA_OUT_OF_MEMORY:
      return StatusCode::kOutOfMemory;
    case DM_CUDA_NO_DEVICE:
    case DM_CUDA_UNSUPPORTED:
      return StatusCode::kUnsupported;
    case DM_CUDA_INTERNAL:
    case DM_CUDA_DEVICE_LOST:
      return StatusCode::kInternal;
  }
  return StatusCode::kInternal;
}

Status DeviceMemory::fault(dm_cuda_status status) const {
  return {code_of(status), api->message(context)};
}

napi_value DeviceMemory::make(napi_env env, std::size_t bytes, dm_cuda_graph* graph) {
  auto* buffer = new (std::nothrow) DeviceBuffer{};
  if (buffer == nullptr) {
    if (graph != nullptr) api->graph_destroy(context, graph);
    return fail(env, {StatusCode::kOutOfMemory, "allocate: expected host memory, got none"});
  }
  buffer->bytes = bytes;
  buffer->graph = graph;
  napi_value external = wrap(env, buffer);
  if (external == nullptr) return nullptr;
  if (napi_create_reference(env, external, 0, &buffer->external) == napi_ok) return external;
  return fail(env, {StatusCode::kInternal, "allocate: expected a weak reference, got none"});
}

Status DeviceMemory::on_device(DeviceBuffer& buffer, dm_cuda_buffer* memory) {
  if (buffer.data == nullptr) {
    if (Status status = check(api->allocate(context, buffer.bytes, memory)); !status.ok()) return status;
    buffer.data = memory->data;
  }
  *memory = {buffer.data, buffer.bytes};
  if (buffer.staged == nullptr) return {};
  Status status = check(api->upload_staged(context, *memory, buffer.staged, buffer.bytes));
  if (status.ok()) buffer.staged = nullptr;
  return status;
}

void DeviceMemory::sweep(napi_env env) {
  std::vector<Buffer*> dropped;
  for (Buffer* buffer : buffers()) {
    napi_value external = nullptr;
    const napi_ref weak = static_cast<DeviceBuffer*>(buffer)->external;
    if (napi_get_reference_value(env, weak, &external) == napi_ok && external == nullptr) {
      dropped.push_back(buffer);
    }
  }
  for (Buffer* buffer : dropped) free(env, *buffer);
}

void DeviceMemory::release(Buffer& buffer) {
  auto& own = static_cast<DeviceBuffer&>(buffer);
  // Nobody to tell: what fails here is a lost device, of which the next op tells.
  if (own.data != nullptr) api->release(context, {own.data, own.bytes});
  if (own.staged != nullptr) api->unstage(context, own.staged);
  if (own.graph != nullptr) api->graph_destroy(context, own.graph);
  own.staged = nullptr;
  own.graph = nullptr;
}

void DeviceMemory::discard(napi_env env, Buffer* buffer) {
  auto* own = static_cast<DeviceBuffer*>(buffer);
  if (own->external != nullptr) napi_delete_reference(env, own->external);
  delete own;
}

napi_value count_devices(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  std::string path;
  if (!read_path(env, call.values[0], &path)) return nullptr;
  const dm_cuda_api* const api = load_library(env, path);
  if (api == nullptr) return nullptr;
  std::int32_t count = 0;
  const bool found = api->device_count(&count) == DM_CUDA_OK;
  napi_value result = nullptr;
  napi_value problem = nullptr;
  napi_get_null(env, &problem);
  if (!found) problem = text(env, api->message(nullptr));
  if (napi_create_object(env, &result) != napi_ok) return nullptr;
  set_number(env, result, "count", count);
  napi_set_named_property(env, result, "problem", problem);
  return result;
}

napi_value open_device(napi_env env, napi_callback_info info) {
  const Call<2> call(env, info);
  std::string path;
  double device = 0;
  if (!read_path(env, call.values[0], &path)) return nullptr;
  if (!read_integer(env, call.values[1], 0, 1024, &device)) {
    return fail_argument(env, "openDevice: expected the number of a device, got something else");
  }
  const dm_cuda_api* const api = load_library(env, path);
  if (api == nullptr) return nullptr;
  dm_cuda_context* context = nullptr;
  const dm_cuda_status status = api->create(static_cast<std::int32_t>(device), &context);
  if (status != DM_CUDA_OK) return fail(env, {code_of(status), api->message(nullptr)});
  auto* memory = new DeviceMemory(api, context);
  Instance::of(env)->add(memory);
  return device_object(env, *memory);
}

}  // namespace dm::addon
