// SPDX-License-Identifier: Apache-2.0
// Rows of the contrastive loss. Products take four rows at a time, so that what is read once is used four times.
#include "cpu/simd/info-nce.h"

#include "cpu/simd/math.h"

namespace dm::cpu::DM_ISA {
namespace {

float dot(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void dots(const float* row, const float* rows, std::int64_t row_count, std::int64_t width,
          float scale, float* out) {
  std::int64_t j = 0;
  for (; j + 4 <= row_count; j += 4) {
    const float* r0 = rows + j * width;
    const float* r1 = r0 + width;
    const float* r2 = r1 + width;
    const float* r3 = r2 + width;
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (std::int64_t i = 0; i < width; ++i) {
      s0 += row[i] * r0[i];
      s1 += row[i] * r1[i];
      s2 += row[i] * r2[i];
      s3 += row[i] * r3[i];
    }
    out[j] = scale * s0;
    out[j + 1] = scale * s1;
    out[j + 2] = scale * s2;
    out[j + 3] = scale * s3;
  }
  for (; j < row_count; ++j) out[j] = scale * dot(row, rows + j * width, width);
}

void mixture(const float* weights, std::int64_t step, const float* rows, std::int64_t row_count,
             std::int64_t width, float* out) {
  for (std::int64_t i = 0; i < width; ++i) out[i] = 0;
  std::int64_t j = 0;
  for (; j + 4 <= row_count; j += 4) {
    const float* r0 = rows + j * width;
    const float* r1 = r0 + width;
    const float* r2 = r1 + width;
    const float* r3 = r2 + width;
    const float w0 = weights[j * step];
    const float w1 = weights[(j + 1) * step];
    const float w2 = weights[(j + 2) * step];
    const float w3 = weights[(j + 3) * step];
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) {
      out[i] += (w0 * r0[i] + w1 * r1[i]) + (w2 * r2[i] + w3 * r3[i]);
    }
  }
  for (; j < row_count; ++j) {
    const float* r = rows + j * width;
    const float w = weights[j * step];
#pragma omp simd
    for (std::int64_t i = 0; i < width; ++i) out[i] += w * r[i];
  }
}

void across(const float* x, const float* unit, float along, float scale, float* y,
            std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = scale * (x[i] - along * unit[i]);
}

float exp_sum(const float* x, float shift, float* y, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = exp_float(x[i] - shift);
    sum += y[i];
  }
  return sum;
}

}  // namespace

extern const InfoNceKernels kInfoNce = {.dot = dot,
                                        .dots = dots,
                                        .mixture = mixture,
                                        .across = across,
                                        .exp_sum = exp_sum};

}  // namespace dm::cpu::DM_ISA
