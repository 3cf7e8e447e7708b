// SPDX-License-Identifier: Apache-2.0
// OneHot on a device: buffers and numbers as in cpu/one-hot.cc.
#include "cuda/one-hot.cuh"

#include "cuda/core/dtype-value.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: indices int32 [R], y [R, D]. numbers: [dtype, R, D, on, off]; values of int32 and bool in the range of their type. A row whose
// index is not in 0..D-1 is off throughout.
Status one_hot(Device& device, const OpArguments& arguments) {
  Arguments in("OneHot", arguments, 2, 5);
  const std::int64_t rows = in.count(1);
  const std::int64_t depth = in.count(2);
  const std::int64_t count = in.elements({rows, depth});
  return with_dtype(in.dtype(0), [&](auto zero) -> Status {
    using T = decltype(zero);
    OneHot<T> body{.indices = in.buffer<std::int32_t>(0, rows),
                   .y = in.buffer<T>(1, count),
                   .depth = {},
                   .on = read_value<T>(in, 3),
                   .off = read_value<T>(in, 4)};
    if (!in.ok() || count == 0) return in.status();
    body.depth = Divisor(depth);
    launch_elementwise(device, body, count,
                       depth % 4 == 0 && all_aligned({body.y}, 4 * sizeof(T)));
    return {};
  });
}

}  // namespace

void register_one_hot(DeviceOpTable& table) { table.add("OneHot", one_hot); }

}  // namespace dm::cuda
