// SPDX-License-Identifier: Apache-2.0
// Launches of attention by tensor cores: which tiles for which lengths. Registers and shared memory of each are in device/registers.txt and
// BackwardShape.
#include "cuda/attention-tensor.cuh"

#include <cmath>
#include <type_traits>

#include "cuda/attention-paths.h"
#include "cuda/attention-tensor-backward.cuh"
#include "cuda/attention-tensor-delta.cuh"
#include "cuda/core/launch.cuh"
#include "cuda/shared-rows.cuh"

namespace dm::cuda {

namespace {

constexpr std::int64_t kManyQueries = 512;  // from here on tiles of 128 queries waste little

Bf16Rows rows_of(const TokenMatrix& matrix) { return rows_as<Bf16Rows, bf16>(matrix); }

float scale_of(const AttentionShape& shape) {
  return 1.0f / std::sqrt(static_cast<float>(shape.head_width));
}

template <int kWidth, int kQueries>
void launch_forward(Device& device, const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  const TensorForward p{.query = rows_of(call.query),
                        .key = rows_of(call.key),
                        .value = rows_of(call.value),
                        .output = rows_of(call.output),
                        .log_sums = call.log_sums,
                        .queries = static_cast<int>(shape.queries),
                        .keys = static_cast<int>(shape.keys),
                        .heads = static_cast<int>(shape.heads),
                        .scale = scale_of(shape) * kLog2E};
  const Grid grid{.blocks = shape.batch * shape.heads * blocks_for(shape.queries, kQueries),
                  .threads = kTensorWarps * kWarp,
                  .shared_bytes = tensor_forward_shared<kWidth, kQueries>()};
  launch<attention_tensor_forward<kWidth, kQueries>>(device, grid, p);
}

/// Calls use(shape) with the shape of a block of the backward pass, by its type. 320 keys of width 32 spill a few words a tile on sm_80 and
/// sm_100, none on sm_90a: less than a second pass over the queries would cost at the lengths of a decoder.
template <class Use>
void with_backward_shape(std::int64_t width, std::int64_t keys, Use use) {
  if (width == 64) {
    if (keys <= 64) return use(BackwardShape<64, 4, 1, 64>());
    if (keys <= 112) return use(BackwardShape<64, 7, 1, 64>());
    return use(BackwardShape<64, 10, 1, 64>());
  }
  if (keys <= 80) return use(BackwardShape<32, 5, 1, 64>());
  if (keys <= 160) return use(BackwardShape<32, 10, 1, 64>());
  return use(BackwardShape<32, 10, 2, 64>());
}

/// Groups of keys that one block goes through, and keys of a group.
struct Groups {
  std::int64_t count, keys;
};

Groups groups_of(const AttentionShape& shape) {
  std::int64_t most = 1;
  with_backward_shape(shape.head_width, shape.keys, [&](auto z) { most = decltype(z)::kKeys; });
  const std::int64_t count = blocks_for(shape.keys, most);
  return {count, blocks_for(blocks_for(shape.keys, count), 16) * 16};
}

template <int kWidth>
void launch_delta(Device& device, const AttentionCall& call, float* delta) {
  const AttentionShape& shape = call.shape;
  const TensorDelta p{.output = rows_of(call.output),
                      .output_gradient = rows_of(call.output_gradient),
                      .delta = delta,
                      .parts = shape.log_sums() * (kWidth / 8),
                      .queries = static_cast<int>(shape.queries),
                      .heads = static_cast<int>(shape.heads)};
  launch<attention_tensor_delta<kWidth>>(
      device,
      {.blocks = blocks_for(p.parts, kTensorDeltaThreads), .threads = kTensorDeltaThreads}, p);
}

}  // namespace

bool AttentionCall::takes_sixteen_bytes() const {
  bool all = shape.head_width % 8 == 0;
  for (const TokenMatrix& matrix : {query, key, value, output, output_gradient, gradients.query,
                                    gradients.key, gradients.value}) {
    all = all && matrix.stride % 8 == 0 && reinterpret_cast<std::uintptr_t>(matrix.data) % 16 == 0;
  }
  return all;
}

bool tensor_takes(const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  return shape.bfloat16 && !shape.windows.any() &&
         (shape.head_width == 32 || shape.head_width == 64) && shape.queries > 0 &&
         shape.keys > 0 && call.takes_sixteen_bytes();
}

void tensor_forward(Device& device, const AttentionCall& call) {
  const bool many = call.shape.queries > kManyQueries;
  if (call.shape.head_width == 64) {
    if (many) return launch_forward<64, 128>(device, call);
    return launch_forward<64, 64>(device, call);
  }
  if (many) return launch_forward<32, 128>(device, call);
  launch_forward<32, 64>(device, call);
}

std::size_t tensor_backward_scratch(const AttentionShape& shape) {
  if (shape.head_width != 32 && shape.head_width != 64) return 0;
  if (shape.queries == 0 || shape.keys == 0) return 0;
  const std::int64_t sums = groups_of(shape).count > 1 ? shape.log_sums() * shape.head_width : 0;
  return static_cast<std::size_t>(behind_deltas(shape) + sums) * sizeof(float);
}

void tensor_backward(Device& device, const AttentionCall& call, float* scratch) {
  const AttentionShape& shape = call.shape;
  device.hide(scratch + shape.log_sums(), kRedZone);
  if (shape.head_width == 64) {
    launch_delta<64>(device, call, scratch);
  } else {
    launch_delta<32>(device, call, scratch);
  }
  const Groups groups = groups_of(shape);
  const TensorBackward p{.query = rows_of(call.query),
                         .key = rows_of(call.key),
                         .value = rows_of(call.value),
                         .output_gradient = rows_of(call.output_gradient),
                         .log_sums = call.log_sums,
                         .delta = scratch,
                         .d_query = rows_of(call.gradients.query),
                         .d_key = rows_of(call.gradients.key),
                         .d_value = rows_of(call.gradients.value),
                         .d_query_sums = groups.count > 1 ? scratch + behind_deltas(shape) : nullptr,
                         .queries = static_cast<int>(shape.queries),
                         .keys = static_cast<int>(shape.keys),
                         .heads = static_cast<int>(shape.heads),
                         .group = static_cast<int>(groups.keys),
                         .scale = scale_of(shape)};
  with_backward_shape(shape.head_width, shape.keys, [&](auto z) {
    using Z = decltype(z);
    launch<attention_tensor_backward<Z>>(device,
                                         {.blocks = shape.batch * shape.heads,
                                          .threads = Z::kThreads,
                                          .shared_bytes = Z::kSharedBytes},
                                         p);
  });
}

}  // namespace dm::cuda
