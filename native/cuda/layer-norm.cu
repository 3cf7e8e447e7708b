// SPDX-License-Identifier: Apache-2.0
// DmLayerNorm and DmLayerNormGrad on a device: buffers and numbers as in cpu/layer-norm.cc; and the same for ops that contain one.
#include "cuda/layer-norm.h"

#include <algorithm>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/launch-add-partials.cuh"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"
#include "cuda/layer-norm.cuh"

namespace dm::cuda {

namespace {

constexpr int kThreads = kLayerNormWarps * kWarp;
/// What registers hold of a row without spills: forward, backward in bfloat16 and float32, and where it is not read by fours.
constexpr int kMostForward = 40;
template <class T>
constexpr int kMostBackward = std::is_same_v<T, bf16> ? 40 : 32;
constexpr int kMostApart = 24;

/// Calls launch_with(constant, constant) with the columns a lane holds of a row, the fewest that are enough, and whether by fours. False for rows
/// too long to hold kMost of.
template <int kMost, class Launch>
bool with_held(std::int64_t width, bool fours, Launch launch_with) {
  const auto takes = [&](auto held) {
    if (width > held * kWarp || (held > kMostApart && !fours)) return false;
    if constexpr (held <= kMost) {
      if (fours) launch_with(held, std::true_type());
    }
    if constexpr (held <= kMostApart) {
      if (!fours) launch_with(held, std::false_type());
    }
    return held <= kMost;
  };
  return takes(std::integral_constant<int, 8>()) || takes(std::integral_constant<int, 16>()) ||
         takes(std::integral_constant<int, 24>()) || takes(std::integral_constant<int, 32>()) ||
         takes(std::integral_constant<int, 40>());
}

/// Calls launch_with(a number of the type).
template <class Launch>
void with_type(bool bfloat16, Launch launch_with) {
  if (bfloat16) return launch_with(bf16());
  launch_with(float());
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
  const bool fours = norm.width % 4 == 0 && all_aligned({norm.x, norm.weight, norm.bias}, 16) &&
                     all_aligned({y}, bfloat16 ? 8 : 16);
  with_type(bfloat16, [&](auto type) {
    using T = decltype(type);
    const bool held = with_held<kMostForward>(norm.width, fours, [&](auto count, auto by_fours) {
      launch<layer_norm_forward<count, by_fours, T>>(device, grid, p);
    });
    if (!held) launch<layer_norm_forward_long<T>>(device, grid, p);
  });
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
                            .bias = norm.bias,
                            .mean = d.mean,
                            .rstd = d.rstd,
                            .residual = d.residual,
                            .dx = d.dx,
                            .y = d.y,
                            .partials = static_cast<float*>(scratch),
                            .rows = norm.rows,
                            .width = static_cast<int>(norm.width)};
  const std::int64_t blocks = backward_blocks(device, norm.rows);
  const Grid grid{.blocks = blocks,
                  .threads = kThreads,
                  .shared_bytes = layer_norm_backward_shared(norm.width)};
  const bool fours = norm.width % 4 == 0 &&
                     all_aligned({norm.x, norm.weight, norm.bias, d.residual, d.dx}, 16) &&
                     all_aligned({d.dy, d.y}, d.bfloat16 ? 8 : 16);
  with_type(d.bfloat16, [&](auto type) {
    using T = decltype(type);
    const bool held = with_held<kMostBackward<T>>(norm.width, fours, [&](auto count, auto by_fours) {
      launch<layer_norm_backward<count, by_fours, T>>(device, grid, p);
    });
    if (!held) launch<layer_norm_backward_long<T>>(device, grid, p);
  });
  launch_add_partials(device, {.partials = p.partials,
                               .first = d.d_weight,
                               .second = d.d_bias,
                               .parts = static_cast<int>(blocks),
                               .sums = 2,
                               .width = p.width});
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
