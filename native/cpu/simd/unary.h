// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one float32 operand.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// y[i] = f(x[i]) for 0 <= i < count; x and y may be the same block.
using UnaryKernel = void (*)(const float* x, float* y, std::int64_t count);

struct UnaryKernels {
  UnaryKernel abs, exp, neg, reciprocal, relu, rsqrt, sigmoid, sqrt, square;
};

DM_PER_ISA(UnaryKernels, kUnary)

}  // namespace dm::cpu
