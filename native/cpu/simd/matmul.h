// SPDX-License-Identifier: Apache-2.0
// What happens to a row of a product while it is in the cache, and conversions from and to
// bfloat16.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// ((row + bias) factor + residual) + sum, of `count` elements; null means without.
struct FinishedRow {
  const float* bias = nullptr;
  float factor = 1;
  const float* residual = nullptr;
  const float* sum = nullptr;
  std::int64_t count = 0;
};

/// All work on `count` elements; x may be y.
struct MatmulKernels {
  /// y[i] += x[i].
  void (*add)(const float* x, float* y, std::int64_t count);
  /// To c, of float32 or bfloat16; c may be the row, or what is added.
  void (*finish)(const FinishedRow& after, const float* row, void* c, bool bfloat16);
  /// y[i] = gelu(x[i]), the exact (erf) form.
  void (*gelu)(const float* x, float* y, std::int64_t count);
  /// y[i] *= the slope of gelu at x[i], and value[i] = gelu(x[i]), of the type of x; value may be null.
  void (*multiply_gelu_slope)(const void* x, bool bfloat16, float* y, void* value,
                              std::int64_t count);
  /// sums[j] += the sum of x[i * stride + j] over i < rows.
  void (*add_rows)(const void* x, bool bfloat16, std::int64_t stride, std::int64_t rows,
                   std::int64_t columns, float* sums);
  /// To nearest, ties to even.
  void (*to_bfloat16)(const float* x, std::uint16_t* y, std::int64_t count);
  void (*from_bfloat16)(const std::uint16_t* x, float* y, std::int64_t count);
};

DM_PER_ISA(MatmulKernels, kMatmul)

}  // namespace dm::cpu
