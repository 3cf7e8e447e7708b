// SPDX-License-Identifier: Apache-2.0
// A run of values of one AdamW step.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct AdamwStep {
  float gradient_scale;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float epsilon;
  float root_scale;  ///< 1 / sqrt(1 - beta2^step)
  float decay;       ///< 1 - learningRate * weightDecay
  float rate;        ///< learningRate / (1 - beta1^step)
};

/// The blocks of a parameter; an output may be the block of its input.
struct AdamwBlocks {
  const float* parameter;
  const float* gradient;
  const float* first;
  const float* second;
  float* parameter_out;
  float* first_out;
  float* second_out;
};

struct AdamwKernels {
  void (*update)(const AdamwStep& step, const AdamwBlocks& blocks, std::int64_t begin,
                 std::int64_t end);
};

DM_PER_ISA(AdamwKernels, kAdamw)

}  // namespace dm::cpu
