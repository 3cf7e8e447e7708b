// SPDX-License-Identifier: Apache-2.0
// DmGelu and DmGeluGrad on a device: buffers and numbers as in cpu/gelu.cc.
#include "cuda/gelu.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: x, y. numbers: [count].
Status gelu(Device& device, const OpArguments& arguments) {
  Arguments in("DmGelu", arguments, 2, 1);
  const std::int64_t count = in.count(0);
  const float* x = in.buffer<float>(0, count);
  float* y = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  launch_map(device, x, y, count, GeluValue{});
  return {};
}

// buffers: dy, x, dx. numbers: [count].
Status gelu_grad(Device& device, const OpArguments& arguments) {
  Arguments in("DmGeluGrad", arguments, 3, 1);
  const std::int64_t count = in.count(0);
  const GeluGradient body{.dy = in.buffer<float>(0, count),
                          .x = in.buffer<float>(1, count),
                          .dx = in.buffer<float>(2, count)};
  if (!in.ok()) return in.status();
  launch_elementwise(device, body, count, all_aligned({body.dy, body.x, body.dx}, 16));
  return {};
}

}  // namespace

void register_gelu(DeviceOpTable& table) {
  table.add("DmGelu", gelu);
  table.add("DmGeluGrad", gelu_grad);
}

}  // namespace dm::cuda
