// SPDX-License-Identifier: Apache-2.0
// Matrix products for every op of a device: c = [c +] residual + row scale * activation(a b + bias), batched, in any layout, operands and
// result in float32 or bfloat16. On a GPU whose driver library can multiply (device.multiply) that does it, with what is left of the
// epilogue in a pass of our own; else our own kernels. Sums are float32 and in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/core/device.h"

namespace dm::cuda {

/// How the elements of a matrix are stored.
enum class MatrixType { kFloat32, kBFloat16 };

constexpr std::int64_t bytes_of(MatrixType type) { return type == MatrixType::kFloat32 ? 4 : 2; }

/// Where the element [batch, row, column] is: steps in elements. One of row_step and column_step is 1. A batch step of 0 repeats one matrix.
struct MatrixLayout {
  MatrixType type = MatrixType::kFloat32;
  std::int64_t row_step = 1;
  std::int64_t column_step = 1;
  std::int64_t batch_step = 0;
};

/// [rows, columns] stored one row after the other.
constexpr MatrixLayout row_major(std::int64_t columns, MatrixType type = MatrixType::kFloat32,
                                 std::int64_t batch_step = 0) {
  return {type, columns, 1, batch_step};
}

/// The transpose of a matrix stored as [columns, rows]: what is read as [rows, columns].
constexpr MatrixLayout transposed(std::int64_t rows, MatrixType type = MatrixType::kFloat32,
                                  std::int64_t batch_step = 0) {
  return {type, 1, rows, batch_step};
}

enum class MatmulActivation {
  kNone,
  /// The exact (erf) GELU; `preactivation`, if there is one, is written.
  kGelu,
  /// Multiplied by the slope of GELU at `preactivation`, which is read: the gradient of kGelu. GELU itself at `preactivation` is written
  /// to `activated`, if there is one.
  kGeluSlope,
};

/// What follows the product, in this order; null means without. Computed in float32.
struct MatmulEpilogue {
  const float* bias = nullptr;  ///< [n]
  MatmulActivation activation = MatmulActivation::kNone;
  void* preactivation = nullptr;  ///< [batch, m, n], dense
  void* activated = nullptr;      ///< the same
  MatrixType preactivation_type = MatrixType::kFloat32;  ///< of both
  /// Row r of all batch * m rows is multiplied by row_scale[r / rows_per_scale].
  const float* row_scale = nullptr;
  std::int64_t rows_per_scale = 1;
  const float* residual = nullptr;  ///< [batch, m, n], dense; may be c
};

/// c [batch, m, n] from a [batch, m, k] and b [batch, k, n].
struct MatmulDescription {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  std::int64_t batch = 1;
  MatrixLayout a;
  MatrixLayout b;
  MatrixLayout c;  ///< column_step 1; matrices of the batch must not overlap
  /// What operands are multiplied as. Operands stored otherwise are converted as they are read: slower than a copy that several products
  /// read, and not done by the driver library.
  MatrixType product = MatrixType::kFloat32;
  /// c += instead of c =.
  bool accumulate = false;
  MatmulEpilogue epilogue;
};

/// Starts one product. A fault goes to device.status().
void matmul(Device& device, const MatmulDescription& description, const void* a, const void* b,
            void* c);

/// The epilogue alone: of a product [batch, m, n] that is there, dense; c is dense too and may be the product.
void apply_epilogue(Device& device, const MatmulDescription& description, const void* product,
                    MatrixType product_type, void* c);

}  // namespace dm::cuda
