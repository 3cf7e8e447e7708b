// SPDX-License-Identifier: Apache-2.0
// Layer normalization over the last axis (packages/core/src/ops/layer-norm.ts): one warp a row. kHeld values a lane stay in registers, so that
// a row is read once, by 16 bytes where it is aligned (core/columns.cuh); the kernels of long rows read them again for each pass. Statistics
// are float32 in two passes. The gradient reads what it needs before it writes, adds the gradient that goes around the norm (`residual`) and, where
// a product wants the normalized rows once more, writes those as well: one pass over memory. The gradients of weight and bias are sums over
// rows: a warp adds up its own rows in registers, a block its warps in shared memory, and a second kernel the blocks, each in order and
// without atomics: the same bits each time.
//
// R rows, C width, P blocks of the backward pass.
#pragma once

#include "cuda/core/columns.cuh"

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

/// The row of this warp among those that begin at `first`.
DM_DEVICE std::int64_t layer_norm_row(std::int64_t first) {
  return first + thread_index() / kWarp;
}
DM_DEVICE std::int64_t first_layer_norm_row() {
  return static_cast<std::int64_t>(block_index()) * kLayerNormWarps;
}

/// Keeps the statistics of a row, and gives its rstd.
DM_DEVICE float keep_statistics(const LayerNormForward& p, std::int64_t row, float mean,
                                float squares) {
  const float rstd = 1.0f / sqrtf(squares / static_cast<float>(p.width) + p.epsilon);
  if (thread_index() % kWarp == 0) {
    p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
  return rstd;
}

template <int kHeld, bool kFours, class T>
DM_KERNEL(kLayerNormWarps* kWarp, 4)
layer_norm_forward(LayerNormForward p) {
  const std::int64_t row = layer_norm_row(first_layer_norm_row());
  if (row >= p.rows) return;
  float held[kHeld];
  load_row<kFours>(p.x + row * p.width, p.width, held);
  float sum = 0;
  DM_UNROLL
  for (int i = 0; i < kHeld; ++i) sum += held[i];
  const float mean = warp_sum(sum) / static_cast<float>(p.width);
  float squares = 0;
  for_held<kFours, kHeld>(p.width, [&](int i, int) {
    held[i] -= mean;
    squares += held[i] * held[i];
  });
  const float rstd = keep_statistics(p, row, mean, warp_sum(squares));
  auto* const y = static_cast<T*>(p.y) + row * p.width;
  DM_UNROLL
  for (int i = 0; i < kHeld; i += 4) {
    const FourOf<float> weight = load_piece<kFours>(p.weight, p.width, i);
    FourOf<float> value = load_piece<kFours>(p.bias, p.width, i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) value.at[k] += held[i + k] * rstd * weight.at[k];
    store_piece<kFours>(y, p.width, i, value);
  }
}

template <class T>
DM_KERNEL(kLayerNormWarps* kWarp, 4)
layer_norm_forward_long(LayerNormForward p) {
  const std::int64_t row = layer_norm_row(first_layer_norm_row());
  if (row >= p.rows) return;
  const int lane = thread_index() % kWarp;
  const float* const x = p.x + row * p.width;
  auto* const y = static_cast<T*>(p.y) + row * p.width;
  float sum = 0;
  for (int c = lane; c < p.width; c += kWarp) sum += x[c];
  const float mean = warp_sum(sum) / static_cast<float>(p.width);
  float squares = 0;
  for (int c = lane; c < p.width; c += kWarp) squares += (x[c] - mean) * (x[c] - mean);
  const float rstd = keep_statistics(p, row, mean, warp_sum(squares));
  for (int c = lane; c < p.width; c += kWarp) {
    put_one(y + c, (x[c] - mean) * rstd * p.weight[c] + p.bias[c]);
  }
}

struct LayerNormBackward {
  const void* dy;         ///< [R, C], of the kernel's type
  const float* x;         ///< [R, C]
  const float* weight;    ///< [C]
  const float* bias;      ///< [C]; only read for y
  const float* mean;      ///< [R]
  const float* rstd;      ///< [R]
  const float* residual;  ///< [R, C], added to dx; or null
  float* dx;              ///< [R, C]
  void* y;                ///< [R, C], of the kernel's type: the normalized rows again; or null
  float* partials;        ///< [P, 2, C]: of dWeight and dBias
  std::int64_t rows;
  int width;
};

/// Bytes of shared memory of the backward kernels: [2, C] floats.
constexpr std::size_t layer_norm_backward_shared(std::int64_t width) {
  return static_cast<std::size_t>(2 * width) * sizeof(float);
}

/// Clears the sums in shared memory.
DM_DEVICE float* clear_layer_norm_sums(int width) {
  auto* const sums = reinterpret_cast<float*>(shared_memory());
  for (int c = thread_index(); c < 2 * width; c += block_threads()) sums[c] = 0;
  block_sync();
  return sums;
}

/// Writes what the block has summed.
DM_DEVICE void write_layer_norm_sums(const LayerNormBackward& p, const float* sums) {
  float* const partial = p.partials + static_cast<std::int64_t>(block_index()) * 2 * p.width;
  for (int c = thread_index(); c < 2 * p.width; c += block_threads()) partial[c] = sums[c];
}

/// dx = residual + rstd (h - mean(h) - s mean(h s)) with h = dy weight and s = (x - mean) rstd; sums of dy s and dy over the block's rows; y = s
/// weight + bias where it is wanted. T: of dy and y.
template <int kHeld, bool kFours, class T>
DM_KERNEL(kLayerNormWarps* kWarp, 2)
layer_norm_backward(LayerNormBackward p) {
  float* const sums = clear_layer_norm_sums(p.width);
  float d_weight[kHeld] = {};
  float d_bias[kHeld] = {};
  const std::int64_t step = static_cast<std::int64_t>(block_count()) * kLayerNormWarps;
  for (std::int64_t row = layer_norm_row(first_layer_norm_row()); row < p.rows; row += step) {
    float s[kHeld];
    float h[kHeld];
    load_row<kFours>(p.x + row * p.width, p.width, s);
    load_row<kFours>(static_cast<const T*>(p.dy) + row * p.width, p.width, h);
    const float mean = p.mean[row];
    const float rstd = p.rstd[row];
    float sum = 0;
    float along = 0;
    DM_UNROLL
    for (int i = 0; i < kHeld; i += 4) {
      const FourOf<float> weight = load_piece<kFours>(p.weight, p.width, i);
      DM_UNROLL
      for (int k = 0; k < 4; ++k) {
        // Past the end dy is 0, and s is not looked at.
        const int at = i + k;
        s[at] = (s[at] - mean) * rstd;
        d_weight[at] += h[at] * s[at];
        d_bias[at] += h[at];
        h[at] *= weight.at[k];
        sum += h[at];
        along += h[at] * s[at];
      }
    }
    sum = warp_sum(sum) / static_cast<float>(p.width);
    along = warp_sum(along) / static_cast<float>(p.width);
    DM_UNROLL
    for (int i = 0; i < kHeld; ++i) h[i] = rstd * (h[i] - sum - s[i] * along);
    if (p.residual != nullptr) {
      DM_UNROLL
      for (int i = 0; i < kHeld; i += 4) {
        const FourOf<float> residual =
            load_piece<kFours>(p.residual + row * p.width, p.width, i);
        DM_UNROLL
        for (int k = 0; k < 4; ++k) h[i + k] += residual.at[k];
      }
    }
    store_row<kFours>(p.dx + row * p.width, p.width, h);
    if (p.y == nullptr) continue;
    auto* const y = static_cast<T*>(p.y) + row * p.width;
    DM_UNROLL
    for (int i = 0; i < kHeld; i += 4) {
      const FourOf<float> weight = load_piece<kFours>(p.weight, p.width, i);
      FourOf<float> value = load_piece<kFours>(p.bias, p.width, i);
      DM_UNROLL
      for (int k = 0; k < 4; ++k) value.at[k] += s[i + k] * weight.at[k];
      store_piece<kFours>(y, p.width, i, value);
    }
  }
  for (int warp = 0; warp < kLayerNormWarps; ++warp) {
    if (warp == thread_index() / kWarp) {
      for_held<kFours, kHeld>(p.width, [&](int i, int c) {
        sums[c] += d_weight[i];
        sums[p.width + c] += d_bias[i];
      });
    }
    block_sync();
  }
  write_layer_norm_sums(p, sums);
}

/// The same for rows that registers do not hold: the sums are in shared memory from the start, and warps take turns.
template <class T>
DM_KERNEL(kLayerNormWarps* kWarp, 2)
layer_norm_backward_long(LayerNormBackward p) {
  float* const sums = clear_layer_norm_sums(p.width);
  const int lane = thread_index() % kWarp;
  const std::int64_t step = static_cast<std::int64_t>(block_count()) * kLayerNormWarps;
  for (std::int64_t base = first_layer_norm_row(); base < p.rows; base += step) {
    const std::int64_t row = layer_norm_row(base);
    // A warp without a row goes along, through the barriers.
    const int width = row < p.rows ? p.width : 0;
    const std::int64_t first = row * p.width;
    const float mean = width > 0 ? p.mean[row] : 0.0f;
    const float rstd = width > 0 ? p.rstd[row] : 0.0f;
    const auto s = [&](int c) { return (p.x[first + c] - mean) * rstd; };
    const auto dy = [&](int c) { return to_float(static_cast<const T*>(p.dy)[first + c]); };
    float sum = 0;
    float along = 0;
    for (int c = lane; c < width; c += kWarp) {
      const float h = dy(c) * p.weight[c];
      sum += h;
      along += h * s(c);
    }
    sum = warp_sum(sum) / static_cast<float>(p.width);
    along = warp_sum(along) / static_cast<float>(p.width);
    for (int warp = 0; warp < kLayerNormWarps; ++warp) {
      if (warp == thread_index() / kWarp) {
        for (int c = lane; c < width; c += kWarp) {
          sums[c] += dy(c) * s(c);
          sums[p.width + c] += dy(c);
        }
      }
      block_sync();
    }
    for (int c = lane; c < width; c += kWarp) {
      const float along_row = s(c);
      const float own = rstd * (dy(c) * p.weight[c] - sum - along_row * along);
      if (p.y != nullptr) {
        put_one(static_cast<T*>(p.y) + first + c, along_row * p.weight[c] + p.bias[c]);
      }
      p.dx[first + c] = p.residual == nullptr ? own : p.residual[first + c] + own;
    }
  }
  write_layer_norm_sums(p, sums);
}

}  // namespace dm::cuda
