// SPDX-License-Identifier: Apache-2.0
// A patch of the masked loss.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct MaskedPatchLossKernels {
  /// difference = prediction - target over the values of a patch; the sum of its squares. With `normalize`, the target is centred and
  /// divided by the root of its unbiased variance plus epsilon.
  float (*patch)(const float* prediction, const float* target, std::int64_t values, bool normalize,
                 float epsilon, float* difference);
};

DM_PER_ISA(MaskedPatchLossKernels, kMaskedPatchLoss)

}  // namespace dm::cpu
