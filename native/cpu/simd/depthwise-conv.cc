// SPDX-License-Identifier: Apache-2.0
// Sums over taps, in registers.
#include "cpu/simd/depthwise-conv.h"

#include "cpu/simd/vector.h"

namespace dm::cpu::DM_ISA {
namespace {

/// kRegisters * kLanes channels from `at` on.
template <int kRegisters>
void weigh_block(const float* const* x, const float* const* w, std::int64_t taps, float* y,
                 std::int64_t at) {
  Floats sums[kRegisters] = {};
  for (std::int64_t t = 0; t < taps; ++t) {
    const float* a = x[t] + at;
    const float* b = w[t] + at;
#pragma GCC unroll 4
    for (int i = 0; i < kRegisters; ++i) {
      sums[i] = fused(load(a + i * kLanes), load(b + i * kLanes), sums[i]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRegisters; ++i) store(y + at + i * kLanes, sums[i]);
}

void weigh(const float* const* x, const float* const* w, std::int64_t taps, float* y,
           std::int64_t count) {
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) weigh_block<4>(x, w, taps, y, i);
  for (; i + kLanes <= count; i += kLanes) weigh_block<1>(x, w, taps, y, i);
  for (; i < count; ++i) {
    float sum = 0;
    for (std::int64_t t = 0; t < taps; ++t) sum += x[t][i] * w[t][i];
    y[i] = sum;
  }
}

void multiply_add(const float* x, const float* y, float* sums, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += x[i] * y[i];
}

}  // namespace

extern const DepthwiseConvKernels kDepthwiseConv = {.weigh = weigh, .multiply_add = multiply_add};

}  // namespace dm::cpu::DM_ISA
