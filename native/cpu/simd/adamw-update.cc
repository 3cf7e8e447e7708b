// SPDX-License-Identifier: Apache-2.0
// A run of values of one AdamW step.
#include "cpu/simd/adamw-update.h"

namespace dm::cpu::DM_ISA {
namespace {

void update(const AdamwStep& step, const AdamwBlocks& blocks, std::int64_t begin,
            std::int64_t end) {
  const AdamwStep s = step;
  const AdamwBlocks b = blocks;
  // An element is read before it is written, and no other block is the same: no dependence between iterations.
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) {
    const float gradient = b.gradient[i] * s.gradient_scale;
    const float first = b.first[i] * s.beta1 + gradient * s.one_minus_beta1;
    const float second = b.second[i] * s.beta2 + (gradient * gradient) * s.one_minus_beta2;
    const float denominator = __builtin_sqrtf(second) * s.root_scale + s.epsilon;
    b.parameter_out[i] = b.parameter[i] * s.decay - (first / denominator) * s.rate;
    b.first_out[i] = first;
    b.second_out[i] = second;
  }
}

}  // namespace

extern const AdamwKernels kAdamw = {.update = update};

}  // namespace dm::cpu::DM_ISA
