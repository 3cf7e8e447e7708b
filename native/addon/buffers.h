// SPDX-License-Identifier: Apache-2.0
// Buffers as JavaScript sees them: Externals, freed by hand or by the collector, and only ever
// those of this addon.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <unordered_set>

#include "dm/buffer.h"

namespace dm::addon {

/// What one JavaScript thread has. The buffers are listed so that an External of another addon is
/// told apart without touching it.
struct Instance {
  std::unordered_set<const Buffer*> buffers;
  std::int64_t bytes = 0;     ///< of the buffers in use
  std::int64_t reported = 0;  ///< of these, what V8 knows of
  bool closed = false;

  static Instance* of(napi_env env);
  /// Makes the instance of a thread that loads the addon; it goes when the thread and the last of
  /// its buffers have gone.
  static bool attach(napi_env env);
};

/// The buffer of an External, or null when the value is something else. The buffer may have been
/// freed.
Buffer* buffer_of(napi_env env, const Instance& instance, napi_value value);

napi_value allocate(napi_env env, napi_callback_info info);
napi_value free_buffer(napi_env env, napi_callback_info info);
napi_value write(napi_env env, napi_callback_info info);
napi_value read(napi_env env, napi_callback_info info);
napi_value memory(napi_env env, napi_callback_info info);
napi_value trim(napi_env env, napi_callback_info info);

}  // namespace dm::addon
