// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise functions of two operands.
#include "cpu/simd/binary.h"

namespace dm::cpu::DM_ISA {
namespace {

template <typename T, T (*F)(T, T)>
void zip(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, T* out,
         std::int64_t count) {
  if (a_step != 0 && b_step != 0) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = F(a[i], b[i]);
  } else if (a_step != 0) {
    const T value = *b;
    for (std::int64_t i = 0; i < count; ++i) out[i] = F(a[i], value);
  } else if (b_step != 0) {
    const T value = *a;
    for (std::int64_t i = 0; i < count; ++i) out[i] = F(value, b[i]);
  } else {
    const T value = F(*a, *b);
    for (std::int64_t i = 0; i < count; ++i) out[i] = value;
  }
}

float add(float a, float b) { return a + b; }
float divide(float a, float b) { return a / b; }
float multiply(float a, float b) { return a * b; }
float subtract(float a, float b) { return a - b; }
float squared_difference(float a, float b) { return (a - b) * (a - b); }
// NaN if either is.
float maximum(float a, float b) { return (a > b) | (a != a) ? a : b; }
float minimum(float a, float b) { return (a < b) | (a != a) ? a : b; }

using Int = std::int32_t;
using Word = std::uint32_t;
// Overflow wraps around.
Int add_int(Int a, Int b) { return static_cast<Int>(static_cast<Word>(a) + static_cast<Word>(b)); }
Int subtract_int(Int a, Int b) {
  return static_cast<Int>(static_cast<Word>(a) - static_cast<Word>(b));
}
Int multiply_int(Int a, Int b) {
  return static_cast<Int>(static_cast<Word>(a) * static_cast<Word>(b));
}
Int maximum_int(Int a, Int b) { return a > b ? a : b; }
Int minimum_int(Int a, Int b) { return a < b ? a : b; }

}  // namespace

extern const BinaryKernels kBinary = {
    .add = zip<float, add>,
    .divide = zip<float, divide>,
    .maximum = zip<float, maximum>,
    .minimum = zip<float, minimum>,
    .multiply = zip<float, multiply>,
    .squared_difference = zip<float, squared_difference>,
    .subtract = zip<float, subtract>,
    .add_int = zip<Int, add_int>,
    .maximum_int = zip<Int, maximum_int>,
    .minimum_int = zip<Int, minimum_int>,
    .multiply_int = zip<Int, multiply_int>,
    .subtract_int = zip<Int, subtract_int>,
};

}  // namespace dm::cpu::DM_ISA
