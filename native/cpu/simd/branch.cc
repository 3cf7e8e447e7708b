// SPDX-License-Identifier: Apache-2.0
// Two passes for the variance; sums by lane, then across, in one order.
#include "cpu/simd/branch.h"

#include "cpu/simd/vector.h"

namespace dm::cpu::DM_ISA {
namespace {

/// Sums f(i) over i < count; `f` gives a register or one value at i.
template <typename F>
float sum_over(std::int64_t count, const F& f) {
  Floats even{};
  Floats odd{};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    even += f(i, Floats{});
    odd += f(i + kLanes, Floats{});
  }
  for (; i + kLanes <= count; i += kLanes) even += f(i, Floats{});
  float rest = 0;
  for (; i < count; ++i) rest += f(i, 0.0f);
  return sum_of(even + odd) + rest;
}

inline Floats at(const float* p, std::int64_t i, Floats) { return load(p + i); }
inline float at(const float* p, std::int64_t i, float) { return p[i]; }

template <typename T>
void write_normalized(const NormRow& norm, const float* x, float mean, float rstd, T* y) {
  std::int64_t i = 0;
  for (; i + kLanes <= norm.width; i += kLanes) {
    store(y + i, fused((load(x + i) - mean) * rstd, load(norm.weight + i), load(norm.bias + i)));
  }
  for (; i < norm.width; ++i) {
    store_one(y + i, (x[i] - mean) * rstd * norm.weight[i] + norm.bias[i]);
  }
}

void normalize_again(const NormRow& norm, const float* x, float mean, float rstd, void* y,
                     bool bfloat16) {
  if (bfloat16) {
    write_normalized(norm, x, mean, rstd, static_cast<Bf16*>(y));
  } else {
    write_normalized(norm, x, mean, rstd, static_cast<float*>(y));
  }
}

void normalize(const NormRow& norm, const float* x, void* y, bool bfloat16, float* mean,
               float* rstd) {
  const float width = static_cast<float>(norm.width);
  const float centre =
      sum_over(norm.width, [x](std::int64_t i, auto kind) { return at(x, i, kind); }) / width;
  const float variance = sum_over(norm.width, [x, centre](std::int64_t i, auto kind) {
                           const auto d = at(x, i, kind) - centre;
                           return d * d;
                         }) / width;
  *mean = centre;
  *rstd = 1.0f / __builtin_sqrtf(variance + norm.epsilon);
  normalize_again(norm, x, centre, *rstd, y, bfloat16);
}

/// dx = residual + rstd (g - mean(g) - s mean(g s)), with s the standardized x and g = dy weight.
void normalize_gradient(const NormRow& norm, const float* dy, const float* x, float mean,
                        float rstd, const float* residual, float* dx, float* d_weight,
                        float* d_bias) {
  const float* weight = norm.weight;
  const float width = static_cast<float>(norm.width);
  Floats sums{};
  Floats products{};
  float rest_sum = 0;
  float rest_product = 0;
  std::int64_t i = 0;
  for (; i + kLanes <= norm.width; i += kLanes) {
    const Floats standardized = (load(x + i) - mean) * rstd;
    const Floats gradient = load(dy + i);
    const Floats g = gradient * load(weight + i);
    sums += g;
    products = fused(g, standardized, products);
    store(d_weight + i, fused(gradient, standardized, load(d_weight + i)));
    store(d_bias + i, load(d_bias + i) + gradient);
  }
  for (; i < norm.width; ++i) {
    const float standardized = (x[i] - mean) * rstd;
    rest_sum += dy[i] * weight[i];
    rest_product += dy[i] * weight[i] * standardized;
    d_weight[i] += dy[i] * standardized;
    d_bias[i] += dy[i];
  }
  const float average = (sum_of(sums) + rest_sum) / width;
  const float along = (sum_of(products) + rest_product) / width;
  for (i = 0; i + kLanes <= norm.width; i += kLanes) {
    const Floats standardized = (load(x + i) - mean) * rstd;
    const Floats centred = load(dy + i) * load(weight + i) - average - standardized * along;
    store(dx + i, fused(centred, splat(rstd), load(residual + i)));
  }
  for (; i < norm.width; ++i) {
    const float standardized = (x[i] - mean) * rstd;
    dx[i] = residual[i] + rstd * (dy[i] * weight[i] - average - standardized * along);
  }
}

void scale(const float* x, float factor, void* y, bool bfloat16, std::int64_t count) {
  if (bfloat16) {
    Bf16* to = static_cast<Bf16*>(y);
    for (std::int64_t i = 0; i < count; ++i) to[i] = narrow(factor * x[i]);
  } else {
    float* to = static_cast<float*>(y);
    for (std::int64_t i = 0; i < count; ++i) to[i] = factor * x[i];
  }
}

}  // namespace

extern const BranchKernels kBranch = {
    .normalize = normalize,
    .normalize_again = normalize_again,
    .normalize_gradient = normalize_gradient,
    .scale = scale,
};

}  // namespace dm::cpu::DM_ISA
