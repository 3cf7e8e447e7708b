// SPDX-License-Identifier: Apache-2.0
// Select on a device: buffers and numbers as in cpu/select.cc.
#include "cuda/select.cuh"

#include "cuda/core/dtype-value.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: condition (bool), yes, no, out. numbers: [dtype of yes, no and out, count]. A condition holds where it is 1.
Status select(Device& device, const OpArguments& arguments) {
  Arguments in("Select", arguments, 4, 2);
  const std::int64_t count = in.count(1);
  return with_dtype(in.dtype(0), [&](auto zero) {
    using T = decltype(zero);
    const Select<T> body{.condition = in.buffer<std::uint8_t>(0, count),
                         .yes = in.buffer<T>(1, count),
                         .no = in.buffer<T>(2, count),
                         .out = in.buffer<T>(3, count)};
    if (in.ok()) {
      launch_elementwise(device, body, count,
                         all_aligned({body.yes, body.no, body.out}, 4 * sizeof(T)) &&
                             all_aligned({body.condition}, 4));
    }
    return in.status();
  });
}

}  // namespace

void register_select(DeviceOpTable& table) { table.add("Select", select); }

}  // namespace dm::cuda
