// SPDX-License-Identifier: Apache-2.0
// DmLayerNorm and DmLayerNormGrad on a device: buffers and numbers as in cpu/layer-norm.cc; and the same for ops that contain one.
#include "cuda/layer-norm.h"

#include <algorithm>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/add-partials.cuh"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"
#include "cuda/layer-norm.cuh"

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

/// Blocks of the backward pass; at least one, so that the sums of no rows are written.
std::int64_t backward_blocks(const Device& device, std::int64_t rows) {
  return std::clamp<std::int64_t>(blocks_for(rows, kLayerNormWarps), 1,
                                  2 * device.multiprocessors());
}

}  // namespace

void layer_norm_rows(Device& device, const LayerNormRows& norm, void* y, bool bfloat16, float* mean,
                     float* rstd) {
  const LayerNormForward p{.x = norm.x,
                           .weight = norm.weight,
                           .bias = norm.bias,
                           .y = y,
                           .mean = mean,
                           .rstd = rstd,
                           .rows = norm.rows,
                           .width = static_cast<int>(norm.width),
                           .epsilon = norm.epsilon};
  const Grid grid{.blocks = blocks_for(norm.rows, kLayerNormWarps), .threads = kThreads};
  with_held(norm.width, [&](auto held) {
    if (bfloat16) return launch<layer_norm_forward<held, true>>(device, grid, p);
    launch<layer_norm_forward<held, false>>(device, grid, p);
  });
}

void layer_norm_rows_again(Device& device, const LayerNormRows& norm, const float* mean,
                           const float* rstd, void* y, bool bfloat16) {
  const bool whole = quads_aligned(norm.x, norm.width, false) &&
                     quads_aligned(norm.weight, 0, false) && quads_aligned(norm.bias, 0, false) &&
                     quads_aligned(y, 0, bfloat16);
  const LayerNormAgain p{.x = norm.x,
                         .weight = norm.weight,
                         .bias = norm.bias,
                         .mean = mean,
                         .rstd = rstd,
                         .y = y,
                         .rows = norm.rows,
                         .width = norm.width,
                         .bfloat16 = bfloat16,
                         .whole = whole};
  launch<layer_norm_again>(
      device,
      {.blocks = blocks_for(norm.rows * blocks_for(norm.width, 4), kLayerNormAgainThreads),
       .threads = kLayerNormAgainThreads},
      p);
}

std::size_t layer_norm_gradient_scratch(const Device& device, std::int64_t rows,
                                        std::int64_t width) {
  return static_cast<std::size_t>(backward_blocks(device, rows) * 2 * width) * sizeof(float);
}

void layer_norm_gradient(Device& device, const LayerNormRows& norm, const LayerNormGradient& d,
                         void* scratch) {
  const LayerNormBackward p{.dy = d.dy,
                            .x = norm.x,
                            .weight = norm.weight,
                            .mean = d.mean,
                            .rstd = d.rstd,
                            .residual = d.residual,
                            .dx = d.dx,
                            .partials = static_cast<float*>(scratch),
                            .rows = norm.rows,
                            .width = static_cast<int>(norm.width)};
  const std::int64_t blocks = backward_blocks(device, norm.rows);
  const Grid grid{.blocks = blocks,
                  .threads = kThreads,
                  .shared_bytes = layer_norm_backward_shared(norm.width)};
  with_held(norm.width, [&](auto held) { launch<layer_norm_backward<held>>(device, grid, p); });
  const AddPartials sums{.partials = p.partials,
                         .first = d.d_weight,
                         .second = d.d_bias,
                         .parts = static_cast<int>(blocks),
                         .sums = 2,
                         .width = p.width};
  launch<add_partials>(device,
                       {.blocks = blocks_for(norm.width, kAddPartialsThreads),
                        .blocks_y = 2,
                        .threads = kAddPartialsThreads},
                       sums);
}

namespace {

// buffers: x [R, C], weight [C], bias [C], y [R, C], mean [R], rstd [R]. numbers: [R, C, epsilon].
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmLayerNorm", arguments, 6, 3);
  const std::int64_t all = in.product(0, 2);
  LayerNormRows norm{.rows = in.count(0),
                     .width = in.count(1),
                     .epsilon = static_cast<float>(in.number(2))};
  norm.x = in.buffer<float>(0, all);
  norm.weight = in.buffer<float>(1, norm.width);
  norm.bias = in.buffer<float>(2, norm.width);
  float* y = in.buffer<float>(3, all);
  float* mean = in.buffer<float>(4, norm.rows);
  float* rstd = in.buffer<float>(5, norm.rows);
  if (!in.ok()) return in.status();
  layer_norm_rows(device, norm, y, false, mean, rstd);
  return {};
}

// buffers: dy [R, C], x [R, C], weight [C], mean [R], rstd [R], dx [R, C], dWeight [C], dBias [C]. numbers: [R, C].
Status backward(Device& device, const OpArguments& arguments) {
  Arguments in("DmLayerNormGrad", arguments, 8, 2);
  const std::int64_t all = in.product(0, 2);
  LayerNormRows norm{.rows = in.count(0), .width = in.count(1)};
  norm.x = in.buffer<float>(1, all);
  norm.weight = in.buffer<float>(2, norm.width);
  const LayerNormGradient gradient{.dy = in.buffer<float>(0, all),
                                   .mean = in.buffer<float>(3, norm.rows),
                                   .rstd = in.buffer<float>(4, norm.rows),
                                   .dx = in.buffer<float>(5, all),
                                   .d_weight = in.buffer<float>(6, norm.width),
                                   .d_bias = in.buffer<float>(7, norm.width)};
  if (!in.ok()) return in.status();
  layer_norm_gradient(device, norm, gradient,
                      device.scratch(layer_norm_gradient_scratch(device, norm.rows, norm.width)));
  return {};
}

}  // namespace

void register_layer_norm(DeviceOpTable& table) {
  table.add("DmLayerNorm", forward);
  table.add("DmLayerNormGrad", backward);
}

}  // namespace dm::cuda
