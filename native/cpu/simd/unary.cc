// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise functions.
#include "cpu/simd/unary.h"

#include "cpu/simd/math.h"

namespace dm::cpu::DM_ISA {
namespace {

template <typename F>
void map(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = F::of(x[i]);
}

struct Abs {
  static float of(float x) { return __builtin_fabsf(x); }
};
struct Exp {
  static float of(float x) { return exp_float(x); }
};
struct Neg {
  static float of(float x) { return -x; }
};
struct Reciprocal {
  static float of(float x) { return 1.0f / x; }
};
struct Relu {
  static float of(float x) { return select(x < 0.0f, 0.0f, x); }  // keeps NaN
};
struct Rsqrt {
  static float of(float x) { return 1.0f / __builtin_sqrtf(x); }
};
struct Sigmoid {
  // By the side where e^-|x| cannot overflow.
  static float of(float x) {
    const float e = exp_float(-__builtin_fabsf(x));
    return select(x < 0.0f, e, 1.0f) / (1.0f + e);
  }
};
struct Sqrt {
  static float of(float x) { return __builtin_sqrtf(x); }
};
struct Square {
  static float of(float x) { return x * x; }
};

}  // namespace

extern const UnaryKernels kUnary = {
    .abs = map<Abs>,
    .exp = map<Exp>,
    .neg = map<Neg>,
    .reciprocal = map<Reciprocal>,
    .relu = map<Relu>,
    .rsqrt = map<Rsqrt>,
    .sigmoid = map<Sigmoid>,
    .sqrt = map<Sqrt>,
    .square = map<Square>,
};

}  // namespace dm::cpu::DM_ISA
