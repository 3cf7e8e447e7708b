// SPDX-License-Identifier: Apache-2.0
// The arguments of the calls that the processor's buffers and a device's have in common.
#pragma once

#include <node_api.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "addon/buffer-owner.h"
#include "addon/napi.h"

namespace dm::addon {

/// allocate(bytes).
struct AllocateCall {
  /// False with an error pending.
  bool read(napi_env env, napi_callback_info info);
  std::size_t bytes = 0;
};

/// write(buffer, values) and read(buffer, values): a typed array of exactly the buffer's bytes.
struct TransferCall {
  /// False with an error pending; `where` begins its sentence.
  bool read(napi_env env, napi_callback_info info, const BufferOwner& owner, const char* where);
  Buffer* buffer = nullptr;
  void* values = nullptr;
  napi_value array = nullptr;
};

/// run(opId, buffers, numbers: Float64Array, count = numbers.length).
class RunCall {
 public:
  /// False with an error pending.
  bool read(napi_env env, napi_callback_info info, const BufferOwner& owner);
  std::size_t op() const { return op_; }
  Buffer* const* buffers() const { return many_.empty() ? few_.data() : many_.data(); }
  std::size_t buffer_count() const { return buffer_count_; }
  const double* numbers() const { return numbers_; }
  std::size_t number_count() const { return number_count_; }

 private:
  static constexpr std::size_t kFewBuffers = 16;
  bool read_buffers(napi_env env, napi_value list, const BufferOwner& owner);
  bool read_numbers(napi_env env, napi_value numbers, napi_value count);

  std::size_t op_ = 0;
  std::array<Buffer*, kFewBuffers> few_;
  std::vector<Buffer*> many_;
  std::size_t buffer_count_ = 0;
  const double* numbers_ = nullptr;
  std::size_t number_count_ = 0;
};

/// The name of an op, as `opId` is given it; false with an error pending.
bool read_op_name(napi_env env, napi_callback_info info, std::string* name);

/// Sets a property that is a number; a failure leaves it out.
void set_number(napi_env env, napi_value object, const char* name, double value);
napi_value text(napi_env env, const std::string& value);

}  // namespace dm::addon
