// SPDX-License-Identifier: Apache-2.0
// The ways to compute attention on a device that attention.cu chooses from; attention.h is for everybody else.
#pragma once

#include "cuda/attention.h"
#include "cuda/core/red-zone.h"

namespace dm::cuda {

/// Everything that a pass reads and writes. The forward pass has no `output_gradient` and no `gradients`, and writes `output`.
struct AttentionCall {
  AttentionShape shape;
  TokenMatrix query, key, value, output, output_gradient;
  float* log_sums;
  AttentionGradients gradients;

  std::int64_t sequences() const {
    return shape.batch * (shape.windows.any() ? shape.windows.windows() : 1);
  }
  std::int64_t queries() const { return shape.windows.any() ? shape.windows.tokens() : shape.queries; }
  std::int64_t keys() const { return shape.windows.any() ? shape.windows.tokens() : shape.keys; }
  /// Whether rows of bfloat16 can be read by 16 bytes. Of a call whose unused matrices are null.
  bool takes_sixteen_bytes() const;
};

/// The scratch of a backward pass begins with a sum for each of log_sums; what follows begins so many numbers later, behind a red zone.
inline std::int64_t behind_deltas(const AttentionShape& shape) {
  return shape.log_sums() + static_cast<std::int64_t>(kRedZone / sizeof(float));
}

/// Without tensor cores: everything.
void tiles_forward(Device& device, const AttentionCall& call);
std::size_t tiles_backward_scratch(const AttentionShape& shape);
void tiles_backward(Device& device, const AttentionCall& call, float* scratch);

/// By tensor cores: bfloat16, no windows, head widths 32 and 64, 16-byte rows.
bool tensor_takes(const AttentionCall& call);
void tensor_forward(Device& device, const AttentionCall& call);
std::size_t tensor_backward_scratch(const AttentionShape& shape);
void tensor_backward(Device& device, const AttentionCall& call, float* scratch);

/// By tensor cores within windows of 16 tokens: bfloat16, head widths 32 and 64, 16-byte rows.
bool window_takes(const AttentionCall& call);
void window_forward(Device& device, const AttentionCall& call);
std::size_t window_backward_scratch(const AttentionShape& shape);
void window_backward(Device& device, const AttentionCall& call, float* scratch);

/// table [table rows, heads] = sums of `parts` partial ones, in order.
void add_table(Device& device, const AttentionShape& shape, const float* partials,
               std::int64_t parts, float* table);

/// Rows at `stride` as kernels take them.
template <class Rows, class T>
Rows rows_as(const TokenMatrix& matrix) {
  return {static_cast<T*>(matrix.data), matrix.stride};
}

}  // namespace dm::cuda
