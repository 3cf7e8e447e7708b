// SPDX-License-Identifier: Apache-2.0
// Rows of the exact GELU and its gradient.
#include "cpu/simd/gelu-rows.h"

#include "cpu/simd/gelu.h"

namespace dm::cpu::DM_ISA {
namespace {

void value(const float* x, float* y, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = gelu_float(x[i]);
}

void gradient(const float* dy, const float* x, float* dx, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * gelu_slope(x[i]);
}

}  // namespace

extern const GeluKernels kGelu = {.value = value, .gradient = gradient};

}  // namespace dm::cpu::DM_ISA
