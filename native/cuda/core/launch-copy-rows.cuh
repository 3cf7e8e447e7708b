// SPDX-License-Identifier: Apache-2.0
// Launches of core/copy-rows.cuh.
#pragma once

#include "cuda/core/copy-rows.cuh"
#include "cuda/core/launch-elementwise.cuh"

namespace dm::cuda {

/// Copies `rows` rows of `row_bytes` bytes to y, row r from row source(r) of x; `missing` is the word of rows that are nowhere.
template <class Source>
void launch_copy_rows(Device& device, const void* x, void* y, std::int64_t rows,
                      std::int64_t row_bytes, const Source& source, std::uint32_t missing = 0) {
  if (rows * row_bytes == 0) return;
  const auto copy_by = [&](auto unit) {
    using Unit = decltype(unit);
    const std::int64_t units = row_bytes / static_cast<std::int64_t>(sizeof(Unit));
    const CopyRows<Unit, Source> body{.x = static_cast<const Unit*>(x),
                                      .y = static_cast<Unit*>(y),
                                      .source = source,
                                      .units = Divisor(units),
                                      .missing = unit};
    launch_elementwise(device, body, rows * units, false);
  };
  if (row_bytes % 16 == 0 && all_aligned({x, y}, 16)) {
    copy_by(Bytes16{{missing, missing, missing, missing}});
  } else if (row_bytes % 4 == 0 && all_aligned({x, y}, 4)) {
    copy_by(missing);
  } else {
    copy_by(static_cast<std::uint8_t>(missing));
  }
}

}  // namespace dm::cuda
