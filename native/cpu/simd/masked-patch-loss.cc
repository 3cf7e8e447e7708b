// SPDX-License-Identifier: Apache-2.0
// A patch of the masked loss.
#include "cpu/simd/masked-patch-loss.h"

namespace dm::cpu::DM_ISA {
namespace {

struct Affine {
  float shift, scale;
};

/// (target - shift) * scale has mean 0 and variance 1.
Affine normalization(const float* target, std::int64_t values, float epsilon) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < values; ++i) sum += target[i];
  const float mean = sum / static_cast<float>(values);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < values; ++i) squares += (target[i] - mean) * (target[i] - mean);
  const float variance = squares / static_cast<float>(values - 1);
  return {mean, 1.0f / __builtin_sqrtf(variance + epsilon)};
}

float patch(const float* prediction, const float* target, std::int64_t values, bool normalize,
            float epsilon, float* difference) {
  const Affine affine = normalize ? normalization(target, values, epsilon) : Affine{0, 1};
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < values; ++i) {
    const float d = prediction[i] - (target[i] - affine.shift) * affine.scale;
    difference[i] = d;
    squares += d * d;
  }
  return squares;
}

}  // namespace

extern const MaskedPatchLossKernels kMaskedPatchLoss = {.patch = patch};

}  // namespace dm::cpu::DM_ISA
