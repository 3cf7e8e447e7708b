// SPDX-License-Identifier: Apache-2.0
// Fill on a device: buffers and numbers as in cpu/fill.cc.
#include "cuda/fill.cuh"

#include "cuda/core/dtype-value.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: out. numbers: [dtype, count, value]; an int32 or bool value must be in the range of its type.
Status fill(Device& device, const OpArguments& arguments) {
  Arguments in("Fill", arguments, 1, 3);
  const std::int64_t count = in.count(1);
  return with_dtype(in.dtype(0), [&](auto zero) {
    using T = decltype(zero);
    const FillAll<T> body{.out = in.buffer<T>(0, count), .value = read_value<T>(in, 2)};
    if (in.ok()) launch_elementwise(device, body, count, all_aligned({body.out}, 4 * sizeof(T)));
    return in.status();
  });
}

}  // namespace

void register_fill(DeviceOpTable& table) { table.add("Fill", fill); }

}  // namespace dm::cuda
