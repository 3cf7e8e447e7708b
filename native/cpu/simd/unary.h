// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one operand.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// y[i] = f(x[i]) for 0 <= i < count; x and y may be the same block. Functions with attributes read
/// them from `attributes`.
template <typename T, typename R = T>
using UnaryKernel = void (*)(const T* x, R* y, std::int64_t count, const T* attributes);

struct UnaryKernels {
  UnaryKernel<float> abs, ceil, cos, elu, erf, exp, expm1, floor, log, log1p, neg, reciprocal, relu,
      relu6, round, rsqrt, selu, sigmoid, sign, sin, softplus, sqrt, square, tanh;
  UnaryKernel<float> clip;        ///< attributes: [least, most]
  UnaryKernel<float> leaky_relu;  ///< attributes: [slope below 0]
  UnaryKernel<float> step;        ///< attributes: [value up to 0]
  UnaryKernel<float, std::uint8_t> is_finite, is_inf, is_nan;
  UnaryKernel<std::int32_t> abs_int, neg_int, relu_int, relu6_int, sign_int, square_int;
  UnaryKernel<std::int32_t> clip_int;  ///< attributes: [least, most]
  UnaryKernel<std::uint8_t> logical_not;
};

DM_PER_ISA(UnaryKernels, kUnary)

}  // namespace dm::cpu
