// SPDX-License-Identifier: Apache-2.0
// Rows of what follows a product.
#include "cpu/simd/matmul.h"

#include "cpu/simd/bfloat16.h"
#include "cpu/simd/gelu.h"

namespace dm::cpu::DM_ISA {
namespace {

void add(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += x[i];
}

void scale(float factor, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] *= factor;
}

void gelu(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = gelu_float(x[i]);
}

void multiply_gelu_slope(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] *= gelu_slope(x[i]);
}

void to_bfloat16(const float* x, std::uint16_t* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = to_bits(x[i]);
}

void from_bfloat16(const std::uint16_t* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = from_bits(x[i]);
}

}  // namespace

extern const MatmulKernels kMatmul = {
    .add = add,
    .scale = scale,
    .gelu = gelu,
    .multiply_gelu_slope = multiply_gelu_slope,
    .to_bfloat16 = to_bfloat16,
    .from_bfloat16 = from_bfloat16,
};

}  // namespace dm::cpu::DM_ISA
