// SPDX-License-Identifier: Apache-2.0
// rowsum(dO O) of bfloat16 rows, which the gradients of scores take (attention-tiles-backward.cuh).
//
// B batch, H heads, Q queries, D head width.
#pragma once

#include "cuda/shared-rows.cuh"

namespace dm::cuda {

struct TensorDelta {
  Bf16Rows output;           ///< [B Q, H D]
  Bf16Rows output_gradient;  ///< [B Q, H D]
  float* delta;              ///< [B, H, Q]
  std::int64_t parts;        ///< B Q H D / 8
  int queries, heads;
};

constexpr int kTensorDeltaThreads = 128;

/// delta = rowsum(dO O): D / 8 lanes a row of a head, 16 bytes each.
template <int kWidth>
DM_KERNEL(kTensorDeltaThreads, 8)
attention_tensor_delta(TensorDelta p) {
  constexpr int kParts = kWidth / 8;
  const std::int64_t at =
      static_cast<std::int64_t>(block_index()) * kTensorDeltaThreads + thread_index();
  const bool there = at < p.parts;
  const std::int64_t head = there ? at / kParts : 0;  // of row head / heads
  const std::int64_t row = head / p.heads;
  const std::int64_t column = head % p.heads * kWidth + at % kParts * 8;
  const auto words = [](const bf16* from) {
    return read_four(reinterpret_cast<const std::uint32_t*>(from));
  };
  const auto left = words(p.output.data + row * p.output.stride + column);
  const auto right = words(p.output_gradient.data + row * p.output_gradient.stride + column);
  float sum = 0;
  DM_UNROLL
  for (int e = 0; e < 4; ++e) {
    sum = fmaf(low_bf16(left.at[e]), low_bf16(right.at[e]), sum);
    sum = fmaf(high_bf16(left.at[e]), high_bf16(right.at[e]), sum);
  }
  DM_UNROLL
  for (int mask = 1; mask < kParts; mask *= 2) sum += shuffle_xor(sum, mask);
  if (there && at % kParts == 0) {
    p.delta[(row / p.queries * p.heads + head % p.heads) * p.queries + row % p.queries] = sum;
  }
}

}  // namespace dm::cuda
