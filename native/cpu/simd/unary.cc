// SPDX-License-Identifier: Apache-2.0
// Rows of elementwise functions. What they do to NaN, infinities and -0 is what tfjs's cpu backend
// does.
#include "cpu/simd/unary.h"

#include "cpu/simd/math-log.h"
#include "cpu/simd/math-wide.h"
#include "cpu/simd/math.h"

namespace dm::cpu::DM_ISA {
namespace {

using Int = std::int32_t;
using Word = std::uint32_t;
using Bool = std::uint8_t;

template <typename T, typename R, R (*kFunction)(T)>
void map(const T* x, R* y, std::int64_t count, const T*) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = kFunction(x[i]);
}

template <float (*kFunction)(float)>
constexpr UnaryKernel<float> kFloats = map<float, float, kFunction>;
template <Bool (*kFunction)(float)>
constexpr UnaryKernel<float, Bool> kTests = map<float, Bool, kFunction>;
template <Int (*kFunction)(Int)>
constexpr UnaryKernel<Int> kInts = map<Int, Int, kFunction>;

float abs(float x) { return __builtin_fabsf(x); }
float neg(float x) { return -x; }
float reciprocal(float x) { return 1.0f / x; }
float relu(float x) { return select(x < 0.0f, 0.0f, x); }
float relu6(float x) { return select(relu(x) > 6.0f, 6.0f, relu(x)); }
float sqrt(float x) { return __builtin_sqrtf(x); }
float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
float square(float x) { return x * x; }
float elu(float x) { return select(x >= 0.0f, x, expm1_float(x)); }
float selu(float x) {
  constexpr float kScale = 1.05070098735548f;
  constexpr float kScaleAlpha = 1.75809934084737f;
  return select(x >= 0.0f, kScale * x, kScaleAlpha * expm1_float(x));
}
float sign(float x) { return select(x < 0.0f, -1.0f, select(x > 0.0f, 1.0f, 0.0f)); }

// Halves to even.
float round(float x) {
  constexpr float kWhole = 0x1p23f;  // from here on every number is an integer
  const float t = __builtin_fabsf(x);
  return __builtin_copysignf(select(t < kWhole, (t + kWhole) - kWhole, t), x);
}
float floor(float x) {
  const float y = round(x);
  return __builtin_copysignf(select(y > x, y - 1.0f, y), x);
}
float ceil(float x) {
  const float y = round(x);
  return __builtin_copysignf(select(y < x, y + 1.0f, y), x);
}

Bool is_nan(float x) { return x != x; }
Bool is_inf(float x) { return __builtin_fabsf(x) == __builtin_inff(); }
Bool is_finite(float x) { return __builtin_fabsf(x) < __builtin_inff(); }

// Overflow wraps around.
Int neg_int(Int x) { return static_cast<Int>(-static_cast<Word>(x)); }
Int abs_int(Int x) { return x < 0 ? neg_int(x) : x; }
Int square_int(Int x) { return static_cast<Int>(static_cast<Word>(x) * static_cast<Word>(x)); }
Int relu_int(Int x) { return x < 0 ? 0 : x; }
Int relu6_int(Int x) { return x < 0 ? 0 : x > 6 ? 6 : x; }
Int sign_int(Int x) { return (x > 0) - (x < 0); }

void logical_not(const Bool* x, Bool* y, std::int64_t count, const Bool*) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] == 0;
}

template <typename T>
void clip(const T* x, T* y, std::int64_t count, const T* attributes) {
  const T least = attributes[0];
  const T most = attributes[1];
  for (std::int64_t i = 0; i < count; ++i) {
    const T above = x[i] < least ? least : x[i];
    y[i] = x[i] > most ? most : above;
  }
}

void leaky_relu(const float* x, float* y, std::int64_t count, const float* attributes) {
  const float slope = attributes[0];
  for (std::int64_t i = 0; i < count; ++i) y[i] = select(x[i] < 0.0f, slope * x[i], x[i]);
}

void step(const float* x, float* y, std::int64_t count, const float* attributes) {
  const float low = attributes[0];
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = select(x[i] == x[i], select(x[i] > 0.0f, 1.0f, low), x[i]);
  }
}

// A block at a time, so that large angles cost only the block they are in.
template <std::int64_t kTurns, double (*kExact)(double)>
void sine(const float* x, float* y, std::int64_t count, const float*) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t end = start + kBlock < count ? start + kBlock : count;
    float angles[kBlock];
    int large = 0;
    for (std::int64_t i = start; i < end; ++i) {
      angles[i - start] = x[i];
      large |= __builtin_fabsf(x[i]) > kLargestAngle;
    }
    for (std::int64_t i = start; i < end; ++i) y[i] = sin_quarter(angles[i - start], kTurns);
    if (large == 0) continue;
    for (std::int64_t i = start; i < end; ++i) {
      const float angle = angles[i - start];
      if (!(__builtin_fabsf(angle) > kLargestAngle)) continue;
      y[i] = static_cast<float>(kExact(static_cast<double>(angle)));
    }
  }
}

double exact_sin(double x) { return __builtin_sin(x); }
double exact_cos(double x) { return __builtin_cos(x); }

}  // namespace

extern const UnaryKernels kUnary = {
    .abs = kFloats<abs>,
    .ceil = kFloats<ceil>,
    .cos = sine<1, exact_cos>,
    .elu = kFloats<elu>,
    .erf = kFloats<erf_float>,
    .exp = kFloats<exp_float>,
    .expm1 = kFloats<expm1_float>,
    .floor = kFloats<floor>,
    .log = kFloats<log_float>,
    .log1p = kFloats<log1p_float>,
    .neg = kFloats<neg>,
    .reciprocal = kFloats<reciprocal>,
    .relu = kFloats<relu>,
    .relu6 = kFloats<relu6>,
    .round = kFloats<round>,
    .rsqrt = kFloats<rsqrt>,
    .selu = kFloats<selu>,
    .sigmoid = kFloats<sigmoid_float>,
    .sign = kFloats<sign>,
    .sin = sine<0, exact_sin>,
    .softplus = kFloats<softplus_float>,
    .sqrt = kFloats<sqrt>,
    .square = kFloats<square>,
    .tanh = kFloats<tanh_float>,
    .clip = clip<float>,
    .leaky_relu = leaky_relu,
    .step = step,
    .is_finite = kTests<is_finite>,
    .is_inf = kTests<is_inf>,
    .is_nan = kTests<is_nan>,
    .abs_int = kInts<abs_int>,
    .neg_int = kInts<neg_int>,
    .relu_int = kInts<relu_int>,
    .relu6_int = kInts<relu6_int>,
    .sign_int = kInts<sign_int>,
    .square_int = kInts<square_int>,
    .clip_int = clip<Int>,
    .logical_not = logical_not,
};

}  // namespace dm::cpu::DM_ISA
