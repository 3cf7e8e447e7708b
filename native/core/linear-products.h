// SPDX-License-Identifier: Apache-2.0
// The three products of a linear map y = x Wᵀ + b with W [out, in], described for matmul.
#pragma once

#include <cstdint>

#include "core/matmul-description.h"

namespace dm {

/// A weight [out, in].
struct LinearWeight {
  const void* data;
  std::int64_t out;
  std::int64_t in;
  MatrixType type = MatrixType::kFloat32;
};

/// y [rows, out] of `y_type` from x [rows, in] of `type`.
inline MatmulDescription linear_product(const LinearWeight& weight, std::int64_t rows,
                                        MatrixType type, MatrixType y_type) {
  MatmulDescription product;
  product.m = rows;
  product.k = weight.in;
  product.n = weight.out;
  product.a = row_major(weight.in, type);
  product.b = transposed(weight.in, weight.type);
  product.c = row_major(weight.out, y_type);
  product.product = type;
  return product;
}

/// dx [rows, in] of `x_type` from dy [rows, out] of `type`.
inline MatmulDescription linear_input_gradient(const LinearWeight& weight, std::int64_t rows,
                                               MatrixType type, MatrixType x_type) {
  MatmulDescription product;
  product.m = rows;
  product.k = weight.out;
  product.n = weight.in;
  product.a = row_major(weight.out, type);
  product.b = row_major(weight.in, weight.type);
  product.c = row_major(weight.in, x_type);
  product.product = type;
  return product;
}

/// dW [out, in] of float32 from dy [rows, out] and x [rows, in], both of `type`.
inline MatmulDescription linear_weight_gradient(const LinearWeight& weight, std::int64_t rows,
                                                MatrixType type) {
  MatmulDescription product;
  product.m = weight.out;
  product.k = rows;
  product.n = weight.in;
  product.a = transposed(weight.out, type);
  product.b = row_major(weight.in, type);
  product.c = row_major(weight.in);
  product.product = type;
  return product;
}

}  // namespace dm
