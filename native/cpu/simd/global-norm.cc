// SPDX-License-Identifier: Apache-2.0
// Sums of squares.
#include "cpu/simd/global-norm.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kRun = 1024;

double sum_of_squares(const float* x, std::int64_t count) {
  double total = 0;
  for (std::int64_t start = 0; start < count; start += kRun) {
    const std::int64_t end = count - start < kRun ? count : start + kRun;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = start; i < end; ++i) sum += x[i] * x[i];
    total += static_cast<double>(sum);
  }
  return total;
}

}  // namespace

extern const GlobalNormKernels kGlobalNorm = {.sum_of_squares = sum_of_squares};

}  // namespace dm::cpu::DM_ISA
