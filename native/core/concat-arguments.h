// SPDX-License-Identifier: Apache-2.0
// Tensors side by side along an axis: what Concat and SplitV are given (Concat and Pack, SplitV and Unpack of native/src/kernels).
// Everything before the axis is `outer`; a part is [outer, inner elements of its own].
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/arguments.h"

namespace dm {

/// buffers: parts and y of Concat, x and parts of SplitV. numbers: [elementBytes, outer, inner of each part]. All sizes below are bytes.
struct ConcatArguments {
  struct Part {
    std::byte* data;
    std::int64_t inner, offset;
  };

  Arguments in;
  std::vector<Part> parts;
  std::byte* whole = nullptr;  ///< y or x
  std::int64_t row = 0;        ///< of all parts for one step of outer
  std::int64_t outer = 0;

  ConcatArguments(const char* op, const OpArguments& arguments, bool whole_first);
};

}  // namespace dm
