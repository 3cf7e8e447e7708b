// SPDX-License-Identifier: Apache-2.0
// What DmLinear and DmLinearGrad are given: packages/core/src/ops/linear.ts.
//
// R rows, K inWidth, C outWidth. The preactivation that GELU saves is of the type of the products.
#pragma once

#include <cstdint>

#include "core/arguments.h"
#include "core/matmul-description.h"

namespace dm {

struct LinearSizes {
  std::int64_t rows, in_width, out_width;
  MatrixType type;           ///< of the products
  std::int64_t x, weight, y;  ///< elements: [R, K], [C, K], [R, C]

  explicit LinearSizes(Arguments& in);
  /// Of the elements of y in the type of the products.
  std::int64_t y_bytes() const { return y * bytes_of(type); }
};

/// buffers: x [R, K], weight [C, K], bias [C] if biased, y [R, C], preactivation [R, C] if gelu. numbers: [R, K, C, biased, gelu,
/// bfloat16].
struct LinearArguments {
  Arguments in;
  LinearSizes sizes;
  bool gelu;
  const float *x, *weight, *bias;  ///< bias may be null
  float* y;
  void* preactivation;

  explicit LinearArguments(const OpArguments& arguments);
};

/// buffers: dy [R, C], x [R, K], weight [C, K], preactivation [R, C] if gelu, dWeight [C, K], dBias [C] if biased, dx [R, K] if
/// inputGradient. numbers: [R, K, C, biased, gelu, bfloat16, inputGradient].
struct LinearGradArguments {
  Arguments in;
  LinearSizes sizes;
  bool gelu;
  const float *dy, *x, *weight;
  void* preactivation;  ///< only read
  float *d_weight, *d_bias, *dx;  ///< d_bias and dx may be null

  explicit LinearGradArguments(const OpArguments& arguments);
};

}  // namespace dm
