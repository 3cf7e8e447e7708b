// SPDX-License-Identifier: Apache-2.0
#include "addon/calls.h"

#include <cstdint>
#include <string>

namespace dm::addon {

namespace {

constexpr double kMostBytes = 9007199254740991.0;

}  // namespace

bool AllocateCall::read(napi_env env, napi_callback_info info) {
  const Call<1> call(env, info);
  double value = 0;
  if (!read_integer(env, call.values[0], 0, kMostBytes, &value)) {
    fail_argument(env, "allocate: expected a number of bytes, got something else");
    return false;
  }
  bytes = static_cast<std::size_t>(value);
  return true;
}

bool TransferCall::read(napi_env env, napi_callback_info info, const BufferOwner& owner,
                        const char* where) {
  const Call<2> call(env, info);
  array = call.values[1];
  buffer = owner.find(env, call.values[0]);
  if (buffer == nullptr || buffer->freed) {
    fail_argument(env, std::string(where) + ": expected a buffer in use, got " +
                           (buffer == nullptr ? "something else" : "a freed one"));
    return false;
  }
  TypedArray typed;
  if (!read_typed_array(env, array, &typed)) {
    fail_argument(env, std::string(where) + ": expected a typed array, got something else");
    return false;
  }
  if (typed.bytes != buffer->bytes) {
    fail_argument(env, std::string(where) + ": expected a typed array of " +
                           std::to_string(buffer->bytes) + " bytes, got " +
                           std::to_string(typed.bytes));
    return false;
  }
  values = typed.data;
  return true;
}

bool RunCall::read(napi_env env, napi_callback_info info, const BufferOwner& owner) {
  const Call<4> call(env, info);
  double id = 0;
  if (!read_integer(env, call.values[0], 0, 1e6, &id)) {
    fail_argument(env, "run: expected the id of an op, got something else");
    return false;
  }
  op_ = static_cast<std::size_t>(id);
  std::uint32_t count = 0;
  if (napi_get_array_length(env, call.values[1], &count) != napi_ok) {
    fail_argument(env, "run: expected an array of buffers, got something else");
    return false;
  }
  buffer_count_ = count;
  return read_numbers(env, call.values[2], call.values[3]) &&
         read_buffers(env, call.values[1], owner);
}

bool RunCall::read_numbers(napi_env env, napi_value numbers, napi_value count) {
  TypedArray typed;
  if (!read_typed_array(env, numbers, &typed) || typed.type != napi_float64_array) {
    fail_argument(env, "run: expected a Float64Array of numbers, got something else");
    return false;
  }
  double length = static_cast<double>(typed.bytes / sizeof(double));
  napi_valuetype type = napi_undefined;
  napi_typeof(env, count, &type);
  if (type != napi_undefined && !read_integer(env, count, 0, length, &length)) {
    fail_argument(env, "run: expected a count of at most numbers.length, got something else");
    return false;
  }
  numbers_ = static_cast<const double*>(typed.data);
  number_count_ = static_cast<std::size_t>(length);
  return true;
}

bool RunCall::read_buffers(napi_env env, napi_value list, const BufferOwner& owner) {
  Buffer** out = few_.data();
  if (buffer_count_ > kFewBuffers) {
    many_.resize(buffer_count_);
    out = many_.data();
  }
  for (std::size_t i = 0; i < buffer_count_; ++i) {
    napi_value element = nullptr;
    const napi_status got = napi_get_element(env, list, static_cast<std::uint32_t>(i), &element);
    out[i] = got == napi_ok ? owner.find(env, element) : nullptr;
    if (out[i] == nullptr) {
      fail_argument(
          env, "run: expected a buffer as buffer " + std::to_string(i) + ", got something else");
      return false;
    }
  }
  return true;
}

bool read_op_name(napi_env env, napi_callback_info info, std::string* name) {
  const Call<1> call(env, info);
  std::size_t length = 0;
  std::array<char, 128> letters;
  if (napi_get_value_string_utf8(env, call.values[0], letters.data(), letters.size(), &length) !=
      napi_ok) {
    fail_argument(env, "opId: expected the name of an op, got something else");
    return false;
  }
  name->assign(letters.data(), length);
  return true;
}

void set_number(napi_env env, napi_value object, const char* name, double value) {
  napi_value number = nullptr;
  if (napi_create_double(env, value, &number) != napi_ok) return;
  napi_set_named_property(env, object, name, number);
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, value.c_str(), value.size(), &result);
  return result;
}

}  // namespace dm::addon
