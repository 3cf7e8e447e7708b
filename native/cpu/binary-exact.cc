// SPDX-License-Identifier: Apache-2.0
// JavaScript's arithmetic, in JavaScript's words.
#include "cpu/binary-exact.h"

#include <cmath>
#include <type_traits>

#include "core/to-int32.h"

namespace dm::cpu {

namespace {

using Int = std::int32_t;

template <typename T, typename R, double (*F)(double, double)>
void zip(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, R* out,
         std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = F(static_cast<double>(a[i * a_step]), static_cast<double>(b[i * b_step]));
    if constexpr (std::is_same_v<R, Int>) {
      out[i] = to_int32(value);
    } else {
      out[i] = static_cast<R>(value);
    }
  }
}

double floor_divide(double a, double b) { return std::floor(a / b); }

/// std::fmod, quickly where the quotient is small: then a product with it is exact, since operands
/// have at most 32 bits.
double remainder(double a, double b) {
  constexpr double kSmall = 1048576;
  const double quotient = a / b;
  if (!(std::abs(quotient) < kSmall && std::isfinite(b))) return std::fmod(a, b);
  const double rest = a - static_cast<double>(static_cast<Int>(quotient)) * b;
  // A quotient that was rounded up to an integer leaves a rest of the wrong sign.
  const bool wrong = a < 0 ? rest > 0 : rest < 0;
  return std::copysign(wrong ? rest + std::copysign(b, a) : rest, a);
}

/// Has the sign of b.
double mod(double a, double b) {
  const double rest = remainder(a, b);
  const bool alike = (a < 0 && b < 0) || (a >= 0 && b >= 0);
  return alike ? rest : remainder(rest + b, b);
}

double power(double a, double b) { return std::pow(a, b); }

}  // namespace

constinit const ExactKernels kExact = {
    .floor_divide = zip<float, Int, floor_divide>,
    .floor_divide_int = zip<Int, Int, floor_divide>,
    .mod_int = zip<Int, Int, mod>,
    .pow_int = zip<Int, Int, power>,
    .mod = zip<float, float, mod>,
};

}  // namespace dm::cpu
