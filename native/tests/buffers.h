// SPDX-License-Identifier: Apache-2.0
// Vectors as the buffers of ops.
#pragma once

#include <vector>

#include "dm/buffer.h"

namespace dm::test {

template <typename T>
Buffer buffer_of(std::vector<T>& values) {
  return {values.data(), values.size() * sizeof(T), false};
}

}  // namespace dm::test
