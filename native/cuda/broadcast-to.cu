// SPDX-License-Identifier: Apache-2.0
// DmBroadcastTo on a device: buffers and numbers as in cpu/broadcast-to.cc.
#include "cuda/broadcast-to.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: x, y. numbers: [divisor, rank, xShape… (rank), yShape… (rank)], x padded with ones to the rank <= 8 of y. y = x / divisor.
Status broadcast_to(Device& device, const OpArguments& arguments) {
  Arguments in("DmBroadcastTo", arguments, 2, 2);
  const auto divisor = static_cast<float>(in.number(0));
  const Broadcast plan = read_broadcast(in, 1);
  const float* x = in.buffer<float>(0, plan.a_count);
  float* y = in.buffer<float>(1, plan.count());
  if (plan.b_count != plan.count()) in.fail("a shape that x broadcasts to", "a smaller one");
  if (!in.ok() || plan.count() == 0) return in.status();
  const BroadcastTo body{.x = x, .y = y, .steps = BroadcastSteps(plan), .divisor = divisor};
  launch_elementwise(device, body, plan.count(), fours_in_a_row(plan) && all_aligned({y}, 16));
  return {};
}

}  // namespace

void register_broadcast_to(DeviceOpTable& table) { table.add("DmBroadcastTo", broadcast_to); }

}  // namespace dm::cuda
