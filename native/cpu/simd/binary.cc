// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise functions of two operands.
#include "cpu/simd/binary.h"

#include "cpu/simd/math-wide.h"

namespace dm::cpu::DM_ISA {
namespace {

using Int = std::int32_t;
using Word = std::uint32_t;
using Bool = std::uint8_t;

template <typename T, typename R, R (*F)(T, T)>
void zip(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, R* out,
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
    const R value = F(*a, *b);
    for (std::int64_t i = 0; i < count; ++i) out[i] = value;
  }
}

float add(float a, float b) { return a + b; }
float subtract(float a, float b) { return a - b; }
float multiply(float a, float b) { return a * b; }
// Integers as unsigned words, which wrap around.
Int add(Int a, Int b) { return static_cast<Int>(static_cast<Word>(a) + static_cast<Word>(b)); }
Int subtract(Int a, Int b) { return static_cast<Int>(static_cast<Word>(a) - static_cast<Word>(b)); }
Int multiply(Int a, Int b) { return static_cast<Int>(static_cast<Word>(a) * static_cast<Word>(b)); }
Bool add(Bool a, Bool b) { return static_cast<Bool>(a + b); }
Bool subtract(Bool a, Bool b) { return static_cast<Bool>(a - b); }
Bool multiply(Bool a, Bool b) { return static_cast<Bool>(a * b); }

template <typename T>
T squared_difference(T a, T b) {
  const T difference = subtract(a, b);
  return multiply(difference, difference);
}
// NaN if either is; no integer differs from itself.
template <typename T>
T maximum(T a, T b) {
  return (a > b) | (a != a) ? a : b;
}
template <typename T>
T minimum(T a, T b) {
  return (a < b) | (a != a) ? a : b;
}
template <typename T>
Bool equal(T a, T b) {
  return a == b;
}
template <typename T>
Bool greater(T a, T b) {
  return a > b;
}
template <typename T>
Bool greater_equal(T a, T b) {
  return a >= b;
}
template <typename T>
Bool less(T a, T b) {
  return a < b;
}
template <typename T>
Bool less_equal(T a, T b) {
  return a <= b;
}
template <typename T>
Bool not_equal(T a, T b) {
  return a != b;
}

template <typename T>
constexpr ZipKernels<T> kZip = {
    .add = zip<T, T, add>,
    .maximum = zip<T, T, maximum<T>>,
    .minimum = zip<T, T, minimum<T>>,
    .multiply = zip<T, T, multiply>,
    .squared_difference = zip<T, T, squared_difference<T>>,
    .subtract = zip<T, T, subtract>,
    .equal = zip<T, Bool, equal<T>>,
    .greater = zip<T, Bool, greater<T>>,
    .greater_equal = zip<T, Bool, greater_equal<T>>,
    .less = zip<T, Bool, less<T>>,
    .less_equal = zip<T, Bool, less_equal<T>>,
    .not_equal = zip<T, Bool, not_equal<T>>,
};

float divide(float a, float b) { return a / b; }
float elu_gradient(float dy, float y) { return select(y >= 0.0f, dy, dy * (y + 1.0f)); }
float prelu(float x, float slope) { return select(x < 0.0f, slope * x, x); }
// Of bytes as of JavaScript numbers.
Bool logical_and(Bool a, Bool b) { return a == 0 ? a : b; }
Bool logical_or(Bool a, Bool b) { return a != 0 ? a : b; }

// A constant exponent of 2 is common and has no need of logarithms.
void pow(const float* a, std::int64_t a_step, const float* b, std::int64_t b_step, float* out,
         std::int64_t count) {
  if (b_step == 0 && *b == 2.0f)
    return zip<float, float, multiply>(a, a_step, a, a_step, out, count);
  zip<float, float, pow_float>(a, a_step, b, b_step, out, count);
}

}  // namespace

extern const BinaryKernels kBinary = {
    .floats = kZip<float>,
    .ints = kZip<Int>,
    .bools = kZip<Bool>,
    .divide = zip<float, float, divide>,
    .pow = pow,
    .elu_gradient = zip<float, float, elu_gradient>,
    .prelu = zip<float, float, prelu>,
    .logical_and = zip<Bool, Bool, logical_and>,
    .logical_or = zip<Bool, Bool, logical_or>,
};

}  // namespace dm::cpu::DM_ISA
