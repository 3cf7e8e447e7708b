// SPDX-License-Identifier: Apache-2.0
// Rows of layer normalization. A row stays in the first cache over the passes.
#include "cpu/simd/layer-norm.h"

namespace dm::cpu::DM_ISA {
namespace {

void forward(const float* x, const float* weight, const float* bias, float epsilon,
             std::int64_t width, float* y, float* mean_out, float* rstd_out) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < width; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(width);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(width) + epsilon);
#pragma omp simd
  for (std::int64_t i = 0; i < width; ++i) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
  *mean_out = mean;
  *rstd_out = rstd;
}

// dx = rstd * (h - mean(h) - s * mean(h * s)), with h = dy * weight and s = (x - mean) * rstd.
void backward(const float* dy, const float* x, const float* weight, float mean, float rstd,
              std::int64_t width, float* dx, float* d_weight, float* d_bias) {
  float sum = 0;
  float along = 0;
#pragma omp simd reduction(+ : sum, along)
  for (std::int64_t i = 0; i < width; ++i) {
    const float s = (x[i] - mean) * rstd;
    const float h = dy[i] * weight[i];
    sum += h;
    along += h * s;
    d_weight[i] += dy[i] * s;
    d_bias[i] += dy[i];
  }
  const float mean_h = sum / static_cast<float>(width);
  const float mean_along = along / static_cast<float>(width);
#pragma omp simd
  for (std::int64_t i = 0; i < width; ++i) {
    const float s = (x[i] - mean) * rstd;
    dx[i] = rstd * (dy[i] * weight[i] - mean_h - s * mean_along);
  }
}

}  // namespace

extern const LayerNormKernels kLayerNorm = {.forward = forward, .backward = backward};

}  // namespace dm::cpu::DM_ISA
