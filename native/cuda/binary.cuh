// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of two operands of one dtype, with broadcasting. What they do to NaN, infinities and -0 is what the CPU ops do
// (cpu/simd/binary.cc, cpu/binary-exact.cc).
#pragma once

#include <type_traits>

#include "cuda/core/broadcast-steps.cuh"
#include "cuda/core/to-int32.cuh"

namespace dm::cuda {

/// out = F(a, b).
template <class F, class T, class R>
struct Zip {
  const T* a;
  const T* b;
  R* out;
  BroadcastSteps steps;

  DM_DEVICE void operator()(std::int64_t i) const {
    const auto at = steps.offsets(i);
    out[i] = F()(a[at.a], b[at.b]);
  }
  /// The four are of one row.
  DM_DEVICE void four(std::int64_t i) const {
    const auto at = steps.offsets(i);
    const FourOf<T> left = read_broadcast_four(a, at.a, steps.a_row);
    const FourOf<T> right = read_broadcast_four(b, at.b, steps.b_row);
    FourOf<R> result;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) result.at[k] = F()(left.at[k], right.at[k]);
    write_four(out + i, result);
  }
};

/// Both operands are of the result's shape, and all is aligned to four.
template <class F, class T, class R>
struct ZipAlike {
  const T* a;
  const T* b;
  R* out;

  DM_DEVICE void operator()(std::int64_t i) const { out[i] = F()(a[i], b[i]); }
  DM_DEVICE void four(std::int64_t i) const {
    const FourOf<T> left = read_four(a + i);
    const FourOf<T> right = read_four(b + i);
    FourOf<R> result;
    DM_UNROLL
    for (int k = 0; k < 4; ++k) result.at[k] = F()(left.at[k], right.at[k]);
    write_four(out + i, result);
  }
};

/// Numbers to compute with: integers as unsigned words, which wrap around.
template <class T>
using Word = std::conditional_t<std::is_floating_point_v<T>, T, std::uint32_t>;

struct Add {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Word<T>>(a) + static_cast<Word<T>>(b));
  }
};
struct Subtract {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Word<T>>(a) - static_cast<Word<T>>(b));
  }
};
struct Multiply {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Word<T>>(a) * static_cast<Word<T>>(b));
  }
};
struct SquaredDifference {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    const T difference = Subtract()(a, b);
    return Multiply()(difference, difference);
  }
};
// NaN if either is; no integer differs from itself.
struct Maximum {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Minimum {
  template <class T>
  DM_DEVICE T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

/// A comparison of two numbers of any dtype.
#define DM_COMPARISON(Name, sign)                          \
  struct Name {                                            \
    template <class T>                                     \
    DM_DEVICE std::uint8_t operator()(T a, T b) const { \
      return a sign b;                                     \
    }                                                      \
  };
DM_COMPARISON(Equal, ==)
DM_COMPARISON(Greater, >)
DM_COMPARISON(GreaterEqual, >=)
DM_COMPARISON(Less, <)
DM_COMPARISON(LessEqual, <=)
DM_COMPARISON(NotEqual, !=)
#undef DM_COMPARISON

struct Divide {
  DM_DEVICE float operator()(float a, float b) const { return a / b; }
};
struct EluGradient {
  DM_DEVICE float operator()(float dy, float y) const { return y >= 0.0f ? dy : dy * (y + 1.0f); }
};
struct Prelu {
  DM_DEVICE float operator()(float x, float slope) const { return x < 0.0f ? slope * x : x; }
};
// Of bytes as of JavaScript numbers.
struct LogicalAnd {
  DM_DEVICE std::uint8_t operator()(std::uint8_t a, std::uint8_t b) const { return a == 0 ? a : b; }
};
struct LogicalOr {
  DM_DEVICE std::uint8_t operator()(std::uint8_t a, std::uint8_t b) const { return a != 0 ? a : b; }
};

/// In float64, as JavaScript computes.
struct FloorDivide {
  template <class T>
  DM_DEVICE std::int32_t operator()(T a, T b) const {
    return to_int32(floor(static_cast<double>(a) / static_cast<double>(b)));
  }
};

/// Has the sign of b.
DM_DEVICE double mod_wide(double a, double b) {
  const double rest = fmod(a, b);
  const bool alike = (a < 0 && b < 0) || (a >= 0 && b >= 0);
  return alike ? rest : fmod(rest + b, b);
}
struct Mod {
  DM_DEVICE float operator()(float a, float b) const {
    return static_cast<float>(mod_wide(static_cast<double>(a), static_cast<double>(b)));
  }
  DM_DEVICE std::int32_t operator()(std::int32_t a, std::int32_t b) const {
    return to_int32(mod_wide(static_cast<double>(a), static_cast<double>(b)));
  }
};

/// As JavaScript's Math.pow: NaN where b is, and where |a| is 1 and b infinite.
struct Pow {
  DM_DEVICE float operator()(float a, float b) const {
    if (b == 2.0f) return a * a;
    if (b != b || (fabsf(a) == 1.0f && fabsf(b) == INFINITY)) return NAN;
    return powf(a, b);
  }
  DM_DEVICE std::int32_t operator()(std::int32_t a, std::int32_t b) const {
    const double power = pow(static_cast<double>(a), static_cast<double>(b));
    // Whole, but pow may be off by units in the last place. Beyond 2^53 every float64 is.
    return to_int32(b >= 0 ? rint(power) : power);
  }
};

/// Of one operand, the whole sum.
struct First {
  template <class T>
  DM_DEVICE T operator()(T a) const {
    return a;
  }
};

}  // namespace dm::cuda
