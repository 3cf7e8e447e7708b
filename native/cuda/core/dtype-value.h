// SPDX-License-Identifier: Apache-2.0
// A number that stands for an element of a dtype.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "core/arguments.h"

namespace dm::cuda {

/// Number `index` as an element; of int32 and bool it must be an integer in the range of the type, bool being a byte.
template <class T>
T read_value(Arguments& in, std::size_t index) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(in.number(index));
  } else {
    const std::int64_t value = in.integer(index);
    if (value != static_cast<T>(value)) in.fail("a value of the dtype", std::to_string(value));
    return static_cast<T>(value);
  }
}

/// Calls fn(element type's zero) for a dtype.
template <class Fn>
auto with_dtype(DType dtype, Fn fn) {
  if (dtype == DType::kFloat32) return fn(float{});
  if (dtype == DType::kInt32) return fn(std::int32_t{});
  return fn(std::uint8_t{});
}

}  // namespace dm::cuda
