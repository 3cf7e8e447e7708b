// SPDX-License-Identifier: Apache-2.0
// Layer normalization over the last axis (packages/core/src/ops/layer-norm.ts): one warp a row. Lane l has the columns l, l + 32, …: up to
// kHeld of them stay in registers, so that a row is read once; kHeld = 0 reads a longer row again for each pass. Statistics are float32 in
// two passes. The gradients of weight and bias are sums over rows: a warp adds up its own rows in registers, a block its warps in shared
// memory, and a second kernel the blocks, each in order and without atomics: the same bits each time. Where y feeds a product it is bfloat16,
// and a gradient pass makes it again from the statistics.
//
// R rows, C width, P blocks of the backward pass.
#pragma once

#include "cuda/core/quad.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kLayerNormWarps = 4;

struct LayerNormForward {
  const float* x;       ///< [R, C]
  const float* weight;  ///< [C]
  const float* bias;    ///< [C]
  void* y;              ///< [R, C], of the kernel's type
  float* mean;          ///< [R]
  float* rstd;          ///< [R]
  std::int64_t rows;
  int width;
  float epsilon;
};

/// Applies `use(i, column)` to the lane's columns; i is the place in its registers, and constant where there are registers.
template <int kHeld, class Use>
DM_DEVICE void for_columns(int width, Use use) {
  const int lane = thread_index() % kWarp;
  if constexpr (kHeld > 0) {
    DM_UNROLL
    for (int i = 0; i < kHeld; ++i) {
      if (i * kWarp + lane < width) use(i, i * kWarp + lane);
    }
  } else {
    for (int column = lane; column < width; column += kWarp) use(0, column);
  }
}

template <int kHeld, bool kBFloat16>
DM_KERNEL(kLayerNormWarps* kWarp, 4)
layer_norm_forward(LayerNormForward p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kLayerNormWarps + thread_index() / kWarp;
  if (row >= p.rows) return;
  const float* x = p.x + row * p.width;
  float held[kHeld > 0 ? kHeld : 1] = {};
  const auto at = [&](int i, int column) { return kHeld > 0 ? held[i] : x[column]; };
  float sum = 0;
  for_columns<kHeld>(p.width, [&](int i, int column) {
    held[i] = x[column];
    sum += held[i];
  });
  const float mean = warp_sum(sum) / static_cast<float>(p.width);
  float squares = 0;
  for_columns<kHeld>(p.width, [&](int i, int column) {
    const float centred = at(i, column) - mean;
    squares += centred * centred;
  });
  const float variance = warp_sum(squares) / static_cast<float>(p.width);
  const float rstd = 1.0f / sqrtf(variance + p.epsilon);
  const std::int64_t first = row * p.width;
  for_columns<kHeld>(p.width, [&](int i, int column) {
    store_one(p.y, kBFloat16, first + column,
              (at(i, column) - mean) * rstd * p.weight[column] + p.bias[column]);
  });
  if (thread_index() % kWarp == 0) {
    p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
}

constexpr int kLayerNormAgainThreads = 256;

struct LayerNormAgain {
  const float* x;       ///< [R, C]
  const float* weight;  ///< [C]
  const float* bias;    ///< [C]
  const float* mean;    ///< [R]
  const float* rstd;    ///< [R]
  void* y;              ///< [R, C]
  std::int64_t rows;
  std::int64_t width;
  bool bfloat16;  ///< y
  bool whole;     ///< quads of rows are aligned
};

/// y from the statistics: a quad a thread.
DM_KERNEL(kLayerNormAgainThreads, 4)
layer_norm_again(LayerNormAgain p) {
  const std::int64_t quads = (p.width + 3) / 4;
  const std::int64_t i =
      static_cast<std::int64_t>(block_index()) * kLayerNormAgainThreads + thread_index();
  if (i >= p.rows * quads) return;
  const std::int64_t row = i / quads;
  const std::int64_t column = i % quads * 4;
  const std::int64_t count = p.width - column;
  const std::int64_t at = row * p.width + column;
  const float mean = p.mean[row];
  const float rstd = p.rstd[row];
  Quad value = load_quad(p.x, false, at, count, p.whole);
  const Quad weight = load_quad(p.weight, false, column, count, p.whole);
  const Quad bias = load_quad(p.bias, false, column, count, p.whole);
  DM_UNROLL
  for (int k = 0; k < 4; ++k) value.v[k] = (value.v[k] - mean) * rstd * weight.v[k] + bias.v[k];
  store_quad(p.y, p.bfloat16, at, count, p.whole, value);
}

struct LayerNormBackward {
  const float* dy;      ///< [R, C]
  const float* x;       ///< [R, C]
  const float* weight;  ///< [C]
  const float* mean;    ///< [R]
  const float* rstd;    ///< [R]
  const float* residual;  ///< [R, C], added to dx; or null
  float* dx;            ///< [R, C]
  float* partials;      ///< [P, 2, C]: of dWeight and dBias
  std::int64_t rows;
  int width;
};

/// Bytes of shared memory of layer_norm_backward: [2, C] floats.
constexpr std::size_t layer_norm_backward_shared(std::int64_t width) {
  return static_cast<std::size_t>(2 * width) * sizeof(float);
}

/// dx = residual + rstd (h - mean(h) - s mean(h s)) with h = dy weight and s = (x - mean) rstd; sums of dy s and dy over the block's rows.
template <int kHeld>
DM_KERNEL(kLayerNormWarps* kWarp, 2)
layer_norm_backward(LayerNormBackward p) {
  auto* const sums = reinterpret_cast<float*>(shared_memory());
  float d_weight[kHeld > 0 ? kHeld : 1] = {};
  float d_bias[kHeld > 0 ? kHeld : 1] = {};
  float s[kHeld > 0 ? kHeld : 1];
  float h[kHeld > 0 ? kHeld : 1];
  // Without registers for them, the sums are in shared memory from the start, and warps take turns.
  for (int c = thread_index(); c < 2 * p.width; c += block_threads()) sums[c] = 0;
  block_sync();
  const std::int64_t step = static_cast<std::int64_t>(block_count()) * kLayerNormWarps;
  const std::int64_t first = static_cast<std::int64_t>(block_index()) * kLayerNormWarps;
  for (std::int64_t base = first; base < p.rows; base += step) {
    const std::int64_t row = base + thread_index() / kWarp;
    const bool own = row < p.rows;
    const float* dy = p.dy + row * p.width;
    const float* x = p.x + row * p.width;
    const float mean = own ? p.mean[row] : 0.0f;
    const float rstd = own ? p.rstd[row] : 0.0f;
    float sum = 0;
    float along = 0;
    if (own) {
      for_columns<kHeld>(p.width, [&](int i, int c) {
        s[i] = (x[c] - mean) * rstd;
        h[i] = dy[c] * p.weight[c];
        if constexpr (kHeld > 0) {
          d_weight[i] += dy[c] * s[i];
          d_bias[i] += dy[c];
        }
        sum += h[i];
        along += h[i] * s[i];
      });
    }
    sum = warp_sum(sum) / static_cast<float>(p.width);
    along = warp_sum(along) / static_cast<float>(p.width);
    if (own) {
      for_columns<kHeld>(p.width, [&](int i, int c) {
        if constexpr (kHeld == 0) {
          s[0] = (x[c] - mean) * rstd;
          h[0] = dy[c] * p.weight[c];
        }
        const float own_part = rstd * (h[i] - sum - s[i] * along);
        p.dx[row * p.width + c] =
            p.residual == nullptr ? own_part : p.residual[row * p.width + c] + own_part;
      });
    }
    if constexpr (kHeld == 0) {
      for (int warp = 0; warp < kLayerNormWarps; ++warp) {
        if (own && warp == thread_index() / kWarp) {
          for_columns<0>(p.width, [&](int, int c) {
            sums[c] += dy[c] * ((x[c] - mean) * rstd);
            sums[p.width + c] += dy[c];
          });
        }
        block_sync();
      }
    }
  }
  if constexpr (kHeld > 0) {
    for (int warp = 0; warp < kLayerNormWarps; ++warp) {
      if (warp == thread_index() / kWarp) {
        for_columns<kHeld>(p.width, [&](int i, int c) {
          sums[c] += d_weight[i];
          sums[p.width + c] += d_bias[i];
        });
      }
      block_sync();
    }
  }
  float* partial = p.partials + static_cast<std::int64_t>(block_index()) * 2 * p.width;
  for (int c = thread_index(); c < 2 * p.width; c += block_threads()) partial[c] = sums[c];
}

}  // namespace dm::cuda
