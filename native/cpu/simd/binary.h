// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two operands, a row at a time.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// out[i] = f(a[i * a_step], b[i * b_step]) for 0 <= i < count; steps are 0 or 1. `out` may be the
/// block of an operand of step 1.
template <typename T>
using BinaryKernel = void (*)(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step,
                              T* out, std::int64_t count);

struct BinaryKernels {
  BinaryKernel<float> add, divide, maximum, minimum, multiply, squared_difference, subtract;
  BinaryKernel<std::int32_t> add_int, maximum_int, minimum_int, multiply_int, subtract_int;
};

DM_PER_ISA(BinaryKernels, kBinary)

}  // namespace dm::cpu
