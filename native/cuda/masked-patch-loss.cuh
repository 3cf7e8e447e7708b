// SPDX-License-Identifier: Apache-2.0
// Mean square error of masked patches (packages/core/src/ops/masked-patch-loss.ts): one warp a patch. The target stays in registers, so that
// mean, variance and difference need one pass over memory; kHeld = 0 reads longer patches again. The patches' sums are added by core/mean.cuh.
//
// B batch, T tokens, M masked patches, P values of a patch.
#pragma once

#include "cuda/core/columns.cuh"
#include "cuda/core/divide.cuh"
#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

constexpr int kPatchWarps = 4;
constexpr float kPatchEpsilon = 1e-6f;

struct MaskedPatchLoss {
  const float* prediction;      ///< [B, M, P]
  const float* patches;         ///< [B, T, P]
  const std::int32_t* indices;  ///< [B, M]
  float* difference;            ///< [B, M, P]
  float* squares;               ///< [B, M]: sums of squares
  std::int64_t rows;            ///< B M
  std::int64_t tokens;          ///< T
  Divisor masked;               ///< M
  int values;                   ///< P
  bool normalize;               ///< targets to mean 0 and unbiased variance 1
};

/// (target - shift) scale, of a target that the warp holds.
struct Affine {
  float shift, scale;
};
template <bool kFours, int kHeld>
DM_DEVICE Affine normalization(const float (&target)[kHeld], int values) {
  float sum = 0;
  for_held<kFours, kHeld>(values, [&](int i, int) { sum += target[i]; });
  const float mean = warp_sum(sum) / static_cast<float>(values);
  float squares = 0;
  for_held<kFours, kHeld>(values, [&](int i, int) {
    squares += (target[i] - mean) * (target[i] - mean);
  });
  const float variance = warp_sum(squares) / static_cast<float>(values - 1);
  return {mean, 1.0f / sqrtf(variance + kPatchEpsilon)};
}

/// The same, of a target in memory.
DM_DEVICE Affine normalization(const float* target, int values) {
  const int lane = thread_index() % kWarp;
  float sum = 0;
  for (int c = lane; c < values; c += kWarp) sum += target[c];
  const float mean = warp_sum(sum) / static_cast<float>(values);
  float squares = 0;
  for (int c = lane; c < values; c += kWarp) squares += (target[c] - mean) * (target[c] - mean);
  const float variance = warp_sum(squares) / static_cast<float>(values - 1);
  return {mean, 1.0f / sqrtf(variance + kPatchEpsilon)};
}

/// The token of a masked patch; negative where its index is outside 0..T-1.
DM_DEVICE std::int64_t token_of(const MaskedPatchLoss& p, std::int64_t row) {
  const std::int64_t index = p.indices[row];
  return index < 0 || index >= p.tokens ? -1 : p.masked.quotient(row) * p.tokens + index;
}

/// The sum of squares of prediction - (target - shift) scale; writes the differences.
template <int kHeld, bool kFours>
DM_DEVICE float square_patch(const MaskedPatchLoss& p, const float* target, std::int64_t row) {
  const float* prediction = p.prediction + row * p.values;
  float* difference = p.difference + row * p.values;
  float squares = 0;
  if constexpr (kHeld > 0) {
    float held[kHeld];
    load_row<kFours>(target, p.values, held);
    const Affine affine =
        p.normalize ? normalization<kFours, kHeld>(held, p.values) : Affine{0, 1};
    // Four at a time: only the target is held.
    DM_UNROLL
    for (int i = 0; i < kHeld; i += 4) {
      const int first = column_of<kFours>(i);
      if (first >= p.values) continue;
      FourOf<float> four{};
      if constexpr (kFours) four = read_four(prediction + first);
      DM_UNROLL
      for (int k = 0; k < 4; ++k) {
        const int column = column_of<kFours>(i + k);
        if (column >= p.values) continue;
        if constexpr (!kFours) four.at[k] = prediction[column];
        four.at[k] -= (held[i + k] - affine.shift) * affine.scale;
        squares += four.at[k] * four.at[k];
        if constexpr (!kFours) difference[column] = four.at[k];
      }
      if constexpr (kFours) write_four(difference + first, four);
    }
  } else {
    const Affine affine = p.normalize ? normalization(target, p.values) : Affine{0, 1};
    for (int c = thread_index() % kWarp; c < p.values; c += kWarp) {
      const float d = prediction[c] - (target[c] - affine.shift) * affine.scale;
      difference[c] = d;
      squares += d * d;
    }
  }
  return warp_sum(squares);
}

template <int kHeld, bool kFours>
DM_KERNEL(kPatchWarps* kWarp, 4)
masked_patch_loss(MaskedPatchLoss p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kPatchWarps + thread_index() / kWarp;
  if (row >= p.rows) return;
  const int lane = thread_index() % kWarp;
  const std::int64_t token = token_of(p, row);
  float squares = NAN;
  if (token >= 0) {
    squares = square_patch<kHeld, kFours>(p, p.patches + token * p.values, row);
  } else {
    for (int c = lane; c < p.values; c += kWarp) p.difference[row * p.values + c] = NAN;
  }
  if (lane == 0) p.squares[row] = squares;
}

/// dPrediction = dy factor difference, dy being a number on the device.
struct MaskedPatchLossGradient {
  const float* dy;          ///< []
  const float* difference;  ///< [B, M, P]
  float* d_prediction;      ///< [B, M, P]
  float factor;

  DM_DEVICE void operator()(std::int64_t i) const {
    d_prediction[i] = difference[i] * (*dy * factor);
  }
  DM_DEVICE void four(std::int64_t i) const {
    const float scale = *dy * factor;
    FourOf<float> four = read_four(difference + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) four.at[k] *= scale;
    write_four(d_prediction + i, four);
  }
};

}  // namespace dm::cuda
