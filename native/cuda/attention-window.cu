// SPDX-License-Identifier: Apache-2.0
// Launches of attention within windows of 16 tokens by tensor cores.
#include "cuda/attention-window.cuh"

#include <algorithm>
#include <cmath>

#include "cuda/attention-paths.h"
#include "cuda/attention-window-backward.cuh"
#include "cuda/core/launch.cuh"

namespace dm::cuda {

namespace {

constexpr std::int64_t kWindowsOfAWarp = 4;    // of the forward pass: a head's biases are read once for them
constexpr std::int64_t kMostWindowParts = 128;  // of the backward pass: partial sums of a table's gradient

Bf16Rows rows_of(const TokenMatrix& matrix) { return rows_as<Bf16Rows, bf16>(matrix); }

std::int64_t sequences_of(const AttentionShape& shape) {
  return shape.batch * shape.windows.windows();
}
std::int64_t backward_parts(const AttentionShape& shape) {
  // One part without windows still, so that a table's gradient is written.
  return std::clamp<std::int64_t>(blocks_for(sequences_of(shape), kWindowSlots), 1, kMostWindowParts);
}

WindowInputs inputs_of(const AttentionCall& call, std::int64_t parts) {
  const AttentionShape& shape = call.shape;
  return {.query = rows_of(call.query),
          .key = rows_of(call.key),
          .value = rows_of(call.value),
          .table = shape.table,
          .grid = shape.windows,
          .sequences = call.sequences(),
          .heads = static_cast<int>(shape.heads),
          .parts = static_cast<int>(parts),
          .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width))};
}

Grid grid_of(const AttentionCall& call, std::int64_t parts) {
  return {.blocks = parts * blocks_for(call.shape.heads, kWindowHeads), .threads = kWindowThreads};
}

}  // namespace

bool window_takes(const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  return shape.bfloat16 && shape.windows.any() && shape.windows.tokens() == kWindowTokens &&
         (shape.head_width == 32 || shape.head_width == 64) && call.takes_sixteen_bytes();
}

void window_forward(Device& device, const AttentionCall& call) {
  const std::int64_t parts = blocks_for(call.sequences(), kWindowSlots * kWindowsOfAWarp);
  const WindowForward p{inputs_of(call, parts), rows_of(call.output), call.log_sums};
  if (call.shape.head_width == 64) {
    launch<attention_window_forward<64>>(device, grid_of(call, parts), p);
  } else {
    launch<attention_window_forward<32>>(device, grid_of(call, parts), p);
  }
}

std::size_t window_backward_scratch(const AttentionShape& shape) {
  if (shape.table == nullptr) return 0;
  return static_cast<std::size_t>(backward_parts(shape) * shape.windows.table_rows() * shape.heads) *
         sizeof(float);
}

void window_backward(Device& device, const AttentionCall& call, float* scratch) {
  const AttentionShape& shape = call.shape;
  const std::int64_t parts = backward_parts(shape);
  const bool tabled = shape.table != nullptr;
  const WindowBackward p{.in = inputs_of(call, parts),
                         .output = rows_of(call.output),
                         .output_gradient = rows_of(call.output_gradient),
                         .log_sums = call.log_sums,
                         .d_query = rows_of(call.gradients.query),
                         .d_key = rows_of(call.gradients.key),
                         .d_value = rows_of(call.gradients.value),
                         .d_table = tabled ? scratch : nullptr};
  Grid grid = grid_of(call, parts);
  grid.shared_bytes = kWindowBackwardShared;
  if (shape.head_width == 64) {
    launch<attention_window_backward<64>>(device, grid, p);
  } else {
    launch<attention_window_backward<32>>(device, grid, p);
  }
  if (tabled) add_table(device, shape, scratch, parts, call.gradients.table);
}

}  // namespace dm::cuda
