// SPDX-License-Identifier: Apache-2.0
// Rows of the contrastive loss.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct InfoNceKernels {
  /// Sum of products of two rows.
  float (*dot)(const float* a, const float* b, std::int64_t count);
  /// out[i] = scale * (row . rows[i]) for 0 <= i < row_count.
  void (*dots)(const float* row, const float* rows, std::int64_t row_count, std::int64_t width,
               float scale, float* out);
  /// out = sum of weights[i * step] * rows[i].
  void (*mixture)(const float* weights, std::int64_t step, const float* rows,
                  std::int64_t row_count, std::int64_t width, float* out);
  /// y = scale * (x - along * unit).
  void (*across)(const float* x, const float* unit, float along, float scale, float* y,
                 std::int64_t count);
  /// y = e^(x - shift); their sum. x and y may be one block.
  float (*exp_sum)(const float* x, float shift, float* y, std::int64_t count);
};

DM_PER_ISA(InfoNceKernels, kInfoNce)

}  // namespace dm::cpu
