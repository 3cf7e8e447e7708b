// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two operands that are computed in float64, one element at a time, as
// JavaScript does: divisions with a whole quotient, remainders, powers of integers. Not worth one
// version per instruction set.
#pragma once

#include <cstdint>

#include "cpu/simd/binary.h"

namespace dm::cpu {

struct ExactKernels {
  BinaryKernel<float, std::int32_t> floor_divide;
  BinaryKernel<std::int32_t> floor_divide_int, mod_int, pow_int;
  BinaryKernel<float> mod;
};

extern const ExactKernels kExact;

}  // namespace dm::cpu
