// SPDX-License-Identifier: Apache-2.0
// DmLayerNorm and DmLayerNormGrad on a device: buffers and numbers as in cpu/layer-norm.cc.
#include "cuda/layer-norm.cuh"

#include <algorithm>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/add-partials.cuh"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

constexpr int kThreads = kLayerNormWarps * kWarp;

/// Calls launch_with(constant) with the columns a lane holds of a row: the fewest that are enough, 0 for rows too long to hold.
template <class Launch>
void with_held(std::int64_t width, Launch launch_with) {
  if (width <= 8 * kWarp) return launch_with(std::integral_constant<int, 8>());
  if (width <= 16 * kWarp) return launch_with(std::integral_constant<int, 16>());
  if (width <= 24 * kWarp) return launch_with(std::integral_constant<int, 24>());
  return launch_with(std::integral_constant<int, 0>());
}

// buffers: x [R, C], weight [C], bias [C], y [R, C], mean [R], rstd [R]. numbers: [R, C, epsilon].
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmLayerNorm", arguments, 6, 3);
  const std::int64_t rows = in.count(0);
  const std::int64_t width = in.count(1);
  const std::int64_t all = in.product(0, 2);
  const LayerNormForward p{.x = in.buffer<float>(0, all),
                           .weight = in.buffer<float>(1, width),
                           .bias = in.buffer<float>(2, width),
                           .y = in.buffer<float>(3, all),
                           .mean = in.buffer<float>(4, rows),
                           .rstd = in.buffer<float>(5, rows),
                           .rows = rows,
                           .width = static_cast<int>(width),
                           .epsilon = static_cast<float>(in.number(2))};
  if (!in.ok()) return in.status();
  const Grid grid{.blocks = blocks_for(rows, kLayerNormWarps), .threads = kThreads};
  with_held(width, [&](auto held) { launch<layer_norm_forward<held>>(device, grid, p); });
  return {};
}

// buffers: dy [R, C], x [R, C], weight [C], mean [R], rstd [R], dx [R, C], dWeight [C], dBias [C]. numbers: [R, C].
Status backward(Device& device, const OpArguments& arguments) {
  Arguments in("DmLayerNormGrad", arguments, 8, 2);
  const std::int64_t rows = in.count(0);
  const std::int64_t width = in.count(1);
  const std::int64_t all = in.product(0, 2);
  LayerNormBackward p{.dy = in.buffer<float>(0, all),
                      .x = in.buffer<float>(1, all),
                      .weight = in.buffer<float>(2, width),
                      .mean = in.buffer<float>(3, rows),
                      .rstd = in.buffer<float>(4, rows),
                      .dx = in.buffer<float>(5, all),
                      .partials = nullptr,
                      .rows = rows,
                      .width = static_cast<int>(width)};
  float* d_weight = in.buffer<float>(6, width);
  float* d_bias = in.buffer<float>(7, width);
  if (!in.ok()) return in.status();
  // At least one, so that the sums of no rows are written.
  const std::int64_t blocks = std::clamp<std::int64_t>(blocks_for(rows, kLayerNormWarps), 1,
                                                       2 * device.multiprocessors());
  p.partials = static_cast<float*>(
      device.scratch(static_cast<std::size_t>(blocks * 2 * width) * sizeof(float)));
  const Grid grid{.blocks = blocks,
                  .threads = kThreads,
                  .shared_bytes = layer_norm_backward_shared(width)};
  with_held(width, [&](auto held) { launch<layer_norm_backward<held>>(device, grid, p); });
  const AddPartials sums{.partials = p.partials,
                         .first = d_weight,
                         .second = d_bias,
                         .parts = static_cast<int>(blocks),
                         .sums = 2,
                         .width = p.width};
  launch<add_partials>(device,
                       {.blocks = blocks_for(width, kAddPartialsThreads),
                        .blocks_y = 2,
                        .threads = kAddPartialsThreads},
                       sums);
  return {};
}

}  // namespace

void register_layer_norm(DeviceOpTable& table) {
  table.add("DmLayerNorm", forward);
  table.add("DmLayerNormGrad", backward);
}

}  // namespace dm::cuda
