// SPDX-License-Identifier: Apache-2.0
// Softmax over the last axis and its gradient: one warp a row. kHeld values a lane stay in registers, so that a row is read once; kHeld = 0
// reads longer rows again for each pass. A NaN is not the largest, but makes the sum one.
//
// R rows, C width.
#pragma once

#include "cuda/core/columns.cuh"

namespace dm::cuda {

constexpr int kSoftmaxWarps = 4;

struct Softmax {
  const float* x;  ///< [R, C]
  float* y;        ///< [R, C], may be the block of x
  std::int64_t rows;
  int width;
};

/// The warp's row; negative past the last.
DM_DEVICE std::int64_t softmax_row(std::int64_t rows) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kSoftmaxWarps + thread_index() / kWarp;
  return row < rows ? row : -1;
}

template <int kHeld, bool kFours>
DM_KERNEL(kSoftmaxWarps* kWarp, 4)
softmax(Softmax p) {
  const std::int64_t row = softmax_row(p.rows);
  if (row < 0) return;
  const float* x = p.x + row * p.width;
  float* y = p.y + row * p.width;
  float most = -INFINITY;
  float sum = 0;
  if constexpr (kHeld > 0) {
    float held[kHeld];
    load_row<kFours>(x, p.width, held);
    for_held<kFours, kHeld>(p.width, [&](int i, int) { most = fmaxf(most, held[i]); });
    most = warp_max(most);
    for_held<kFours, kHeld>(p.width, [&](int i, int) {
      held[i] = expf(held[i] - most);
      sum += held[i];
    });
    const float scale = 1.0f / warp_sum(sum);
    DM_UNROLL
    for (int i = 0; i < kHeld; ++i) held[i] *= scale;
    store_row<kFours>(y, p.width, held);
  } else {
    const int lane = thread_index() % kWarp;
    for (int c = lane; c < p.width; c += kWarp) most = fmaxf(most, x[c]);
    most = warp_max(most);
    for (int c = lane; c < p.width; c += kWarp) {
      const float e = expf(x[c] - most);
      y[c] = e;
      sum += e;
    }
    const float scale = 1.0f / warp_sum(sum);
    for (int c = lane; c < p.width; c += kWarp) y[c] *= scale;
  }
}

struct SoftmaxGradient {
  const float* dy;  ///< [R, C]
  const float* y;   ///< [R, C]
  float* dx;        ///< [R, C]
  std::int64_t rows;
  int width;
};

/// dx = y (dy - sum(dy y)).
template <int kHeld, bool kFours>
DM_KERNEL(kSoftmaxWarps* kWarp, 4)
softmax_gradient(SoftmaxGradient p) {
  const std::int64_t row = softmax_row(p.rows);
  if (row < 0) return;
  const float* dy = p.dy + row * p.width;
  const float* y = p.y + row * p.width;
  float* dx = p.dx + row * p.width;
  float sum = 0;
  if constexpr (kHeld > 0) {
    float held[kHeld];
    float held_dy[kHeld];
    load_row<kFours>(y, p.width, held);
    load_row<kFours>(dy, p.width, held_dy);
    for_held<kFours, kHeld>(p.width, [&](int i, int) { sum += held_dy[i] * held[i]; });
    sum = warp_sum(sum);
    DM_UNROLL
    for (int i = 0; i < kHeld; ++i) held[i] *= held_dy[i] - sum;
    store_row<kFours>(dx, p.width, held);
  } else {
    const int lane = thread_index() % kWarp;
    for (int c = lane; c < p.width; c += kWarp) sum += dy[c] * y[c];
    sum = warp_sum(sum);
    for (int c = lane; c < p.width; c += kWarp) dx[c] = y[c] * (dy[c] - sum);
  }
}

}  // namespace dm::cuda
