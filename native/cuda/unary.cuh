// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one operand. What they do to NaN, infinities and -0 is what the CPU ops do (cpu/simd/unary.cc).
#pragma once

#include "cuda/core/elementwise.cuh"

namespace dm::cuda {

/// A function of one number, without state.
#define DM_FUNCTION(Name, T, R, expression)              \
  struct Name {                                          \
    DM_DEVICE R operator()(T x) const { return expression; } \
  };

DM_FUNCTION(Abs, float, float, fabsf(x))
DM_FUNCTION(Ceil, float, float, ceilf(x))
DM_FUNCTION(Cos, float, float, cosf(x))
DM_FUNCTION(Elu, float, float, x >= 0.0f ? x : expm1f(x))
DM_FUNCTION(Erf, float, float, erff(x))
DM_FUNCTION(Exp, float, float, expf(x))
DM_FUNCTION(Expm1, float, float, expm1f(x))
DM_FUNCTION(Floor, float, float, floorf(x))
DM_FUNCTION(Log, float, float, logf(x))
DM_FUNCTION(Log1p, float, float, log1pf(x))
DM_FUNCTION(Neg, float, float, -x)
DM_FUNCTION(Reciprocal, float, float, 1.0f / x)
DM_FUNCTION(Relu, float, float, x < 0.0f ? 0.0f : x)
DM_FUNCTION(Relu6, float, float, x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x))
DM_FUNCTION(Round, float, float, rintf(x))  // halves to even
DM_FUNCTION(Rsqrt, float, float, 1.0f / sqrtf(x))
DM_FUNCTION(Sign, float, float, x < 0.0f ? -1.0f : (x > 0.0f ? 1.0f : 0.0f))
DM_FUNCTION(Sin, float, float, sinf(x))
DM_FUNCTION(Sqrt, float, float, sqrtf(x))
DM_FUNCTION(Square, float, float, x* x)
DM_FUNCTION(Tanh, float, float, tanhf(x))

DM_FUNCTION(IsFinite, float, std::uint8_t, fabsf(x) < INFINITY)
DM_FUNCTION(IsInf, float, std::uint8_t, fabsf(x) == INFINITY)
DM_FUNCTION(IsNan, float, std::uint8_t, x != x)
DM_FUNCTION(LogicalNot, std::uint8_t, std::uint8_t, x == 0)

struct Selu {
  DM_DEVICE float operator()(float x) const {
    return x >= 0.0f ? 1.05070098735548f * x : 1.75809934084737f * expm1f(x);
  }
};
struct Sigmoid {
  DM_DEVICE float operator()(float x) const {
    const float e = expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
  }
};
struct Softplus {
  DM_DEVICE float operator()(float x) const {
    const float tail = log1pf(expf(-fabsf(x)));
    return (x > 0.0f ? x : 0.0f) + (x == x ? tail : x);
  }
};

// Integers as unsigned words, which wrap around.
struct NegInt {
  DM_DEVICE std::int32_t operator()(std::int32_t x) const {
    return static_cast<std::int32_t>(-static_cast<std::uint32_t>(x));
  }
};
struct AbsInt {
  DM_DEVICE std::int32_t operator()(std::int32_t x) const { return x < 0 ? NegInt()(x) : x; }
};
struct SquareInt {
  DM_DEVICE std::int32_t operator()(std::int32_t x) const {
    const auto word = static_cast<std::uint32_t>(x);
    return static_cast<std::int32_t>(word * word);
  }
};
DM_FUNCTION(ReluInt, std::int32_t, std::int32_t, x < 0 ? 0 : x)
DM_FUNCTION(Relu6Int, std::int32_t, std::int32_t, x < 0 ? 0 : (x > 6 ? 6 : x))
DM_FUNCTION(SignInt, std::int32_t, std::int32_t, (x > 0) - (x < 0))

#undef DM_FUNCTION

// With attributes.
template <class T>
struct Clip {
  T least, most;
  DM_DEVICE T operator()(T x) const {
    const T above = x < least ? least : x;
    return x > most ? most : above;
  }
};
struct LeakyRelu {
  float slope;
  DM_DEVICE float operator()(float x) const { return x < 0.0f ? slope * x : x; }
};
struct Step {
  float low;
  DM_DEVICE float operator()(float x) const { return x == x ? (x > 0.0f ? 1.0f : low) : x; }
};

}  // namespace dm::cuda
