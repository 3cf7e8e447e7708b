// SPDX-License-Identifier: Apache-2.0
// The few words that the addon needs of Node-API: failures become JavaScript errors, never
// exceptions or exits.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "dm/status.h"

namespace dm::addon {

/// Leaves an Error with the status's sentence and its code pending. Returns null, which callbacks
/// return in turn.
inline napi_value fail(napi_env env, const Status& status) {
  napi_throw_error(env, status_name(status.code()), status.message().c_str());
  return nullptr;
}

inline napi_value fail_argument(napi_env env, const std::string& message) {
  return fail(env, invalid_argument(message));
}

/// The arguments of a call, at most N of them; the missing ones are `undefined`.
template <std::size_t N>
struct Call {
  Call(napi_env env, napi_callback_info info) {
    std::size_t count = N;
    good = napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok;
  }
  napi_value values[N] = {};
  bool good = false;
};

/// A JavaScript number that is an integer in [least, most].
inline bool read_integer(napi_env env, napi_value value, double least, double most, double* out) {
  if (napi_get_value_double(env, value, out) != napi_ok) return false;
  // Written so that NaN fails.
  return *out >= least && *out <= most && *out == static_cast<double>(static_cast<int64_t>(*out));
}

/// Bytes an element of a typed array has; 0 for a type this addon does not know (newer headers have
/// more).
inline std::size_t element_bytes(napi_typedarray_type type) {
  if (type == napi_int8_array || type == napi_uint8_array || type == napi_uint8_clamped_array) {
    return 1;
  }
  if (type == napi_int16_array || type == napi_uint16_array) return 2;
  if (type == napi_int32_array || type == napi_uint32_array || type == napi_float32_array) return 4;
  if (type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array) {
    return 8;
  }
  return 0;
}

/// Where a typed array's values are.
struct TypedArray {
  napi_typedarray_type type;
  void* data;
  std::size_t bytes;
};

/// False when the value is something else.
inline bool read_typed_array(napi_env env, napi_value value, TypedArray* out) {
  std::size_t length = 0;
  bool is_typed_array = false;
  if (napi_is_typedarray(env, value, &is_typed_array) != napi_ok || !is_typed_array) return false;
  if (napi_get_typedarray_info(env, value, &out->type, &length, &out->data, nullptr, nullptr) !=
      napi_ok) {
    return false;
  }
  out->bytes = length * element_bytes(out->type);
  return element_bytes(out->type) != 0;
}

}  // namespace dm::addon
