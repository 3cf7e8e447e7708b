// SPDX-License-Identifier: Apache-2.0
// The copy is started in the order of the stream; a thread of Node's pool waits for it.
#include "addon/device-fetch.h"

#include <memory>
#include <string>

#include "addon/napi.h"

namespace dm::addon {

namespace {

struct Fetch {
  DeviceMemory* memory;
  dm_cuda_fetch* copy;
  void* to;
  dm_cuda_status status;
  std::string problem;  ///< of the thread that waited
  napi_ref array;  ///< keeps the typed array
  napi_deferred deferred;
  napi_async_work work;
};

void wait(napi_env, void* data) {
  auto& fetch = *static_cast<Fetch*>(data);
  const dm_cuda_api& api = *fetch.memory->api;
  fetch.status = api.fetch_wait(fetch.copy, fetch.to);
  if (fetch.status != DM_CUDA_OK) fetch.problem = api.message(nullptr);
}

void settle(napi_env env, napi_status ran, void* data) {
  const std::unique_ptr<Fetch> fetch(static_cast<Fetch*>(data));
  DeviceMemory& memory = *fetch->memory;
  napi_value value = nullptr;
  if (ran == napi_ok && fetch->status == DM_CUDA_OK) {
    napi_get_undefined(env, &value);
    napi_resolve_deferred(env, fetch->deferred, value);
  } else {
    const bool waited = ran == napi_ok;
    const char* const code = status_name(waited ? code_of(fetch->status) : StatusCode::kInternal);
    const std::string problem = waited ? fetch->problem : "read: expected time to wait for the device, got none";
    napi_create_error(env, text(env, code), text(env, problem), &value);
    napi_reject_deferred(env, fetch->deferred, value);
  }
  memory.api->fetch_end(memory.context, fetch->copy);
  napi_delete_reference(env, fetch->array);
  napi_delete_async_work(env, fetch->work);
}

}  // namespace

napi_value start_fetch(napi_env env, DeviceMemory& memory, const TransferCall& call) {
  const dm_cuda_buffer from{call.buffer->data, call.buffer->bytes};
  dm_cuda_fetch* copy = nullptr;
  const dm_cuda_status started = memory.api->fetch(memory.context, from, from.bytes, &copy);
  if (started != DM_CUDA_OK) return fail(env, memory.fault(started));
  auto* fetch = new Fetch{&memory, copy, call.values, DM_CUDA_OK, {}, nullptr, nullptr, nullptr};
  napi_value promise = nullptr;
  napi_value name = text(env, "diffmavil read");
  napi_create_reference(env, call.array, 1, &fetch->array);
  napi_create_promise(env, &fetch->deferred, &promise);
  napi_create_async_work(env, nullptr, name, wait, settle, fetch, &fetch->work);
  napi_queue_async_work(env, fetch->work);
  return promise;
}

}  // namespace dm::addon
