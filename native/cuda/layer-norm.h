// SPDX-License-Identifier: Apache-2.0
// Layer normalization of rows, for the ops that contain one. R rows, C width.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/layer-norm-rows.h"
#include "cuda/core/device.h"

namespace dm::cuda {

/// y [R, C] in float32 or bfloat16, and mean and rstd [R].
void layer_norm_rows(Device& device, const LayerNormRows& norm, void* y, bool bfloat16, float* mean,
                     float* rstd);

struct LayerNormGradient {
  const void* dy = nullptr;         ///< [R, C]
  const float* mean = nullptr;      ///< [R]
  const float* rstd = nullptr;      ///< [R]
  const float* residual = nullptr;  ///< [R, C], added to dx; or null
  float* dx = nullptr;              ///< [R, C]
  void* y = nullptr;                ///< [R, C]: the normalized rows once more; or null
  bool bfloat16 = false;            ///< dy and y; else float32
  float* d_weight = nullptr;        ///< [C]; like dx overwritten
  float* d_bias = nullptr;          ///< [C]
};

/// Bytes that layer_norm_gradient works in.
std::size_t layer_norm_gradient_scratch(const Device& device, std::int64_t rows, std::int64_t width);

/// `scratch`: layer_norm_gradient_scratch(...) bytes on the device.
void layer_norm_gradient(Device& device, const LayerNormRows& norm,
                         const LayerNormGradient& gradient, void* scratch);

}  // namespace dm::cuda
