// SPDX-License-Identifier: Apache-2.0
// DmDropPath on a device: buffers and numbers as in cpu/drop-path.cc.
#include "cuda/drop-path.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: x [B, N], factor [B], y [B, N]. numbers: [B, N].
Status drop_path(Device& device, const OpArguments& arguments) {
  Arguments in("DmDropPath", arguments, 3, 2);
  const std::int64_t batch = in.count(0);
  const std::int64_t count = in.count(1);
  const std::int64_t all = in.product(0, 2);
  const float* x = in.buffer<float>(0, all);
  const float* factor = in.buffer<float>(1, batch);
  float* y = in.buffer<float>(2, all);
  if (!in.ok() || all == 0) return in.status();
  const DropPath body{.x = x, .factor = factor, .y = y, .count = Divisor(count)};
  launch_elementwise(device, body, all, count % 4 == 0 && all_aligned({x, y}, 16));
  return {};
}

}  // namespace

void register_drop_path(DeviceOpTable& table) { table.add("DmDropPath", drop_path); }

}  // namespace dm::cuda
