// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two operands, a row at a time.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// out[i] = f(a[i * a_step], b[i * b_step]) for 0 <= i < count; steps are 0 or 1. `out` may be the
/// block of an operand of step 1 and of its dtype.
template <typename T, typename R = T>
using BinaryKernel = void (*)(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step,
                              R* out, std::int64_t count);

/// What every dtype has. int32 and bool wrap around.
template <typename T>
struct ZipKernels {
  BinaryKernel<T> add, maximum, minimum, multiply, squared_difference, subtract;
  BinaryKernel<T, std::uint8_t> equal, greater, greater_equal, less, less_equal, not_equal;
};

struct BinaryKernels {
  ZipKernels<float> floats;
  ZipKernels<std::int32_t> ints;
  ZipKernels<std::uint8_t> bools;
  BinaryKernel<float> divide, pow;
  BinaryKernel<float> elu_gradient;  ///< of dy and y
  BinaryKernel<float> prelu;         ///< of x and the slope below 0
  BinaryKernel<std::uint8_t> logical_and, logical_or;
};

DM_PER_ISA(BinaryKernels, kBinary)

}  // namespace dm::cpu
