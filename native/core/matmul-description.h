// SPDX-License-Identifier: Apache-2.0
// A matrix product as every op asks for it, of the processor (cpu/matmul.h) or of a device (cuda/matmul.h): c = [c +] residual +
// row scale * activation(a b + bias), batched, in any layout, operands and result in float32 or bfloat16.
#pragma once

#include <cstdint>

namespace dm {

/// How the elements of a matrix are stored; bfloat16 as its upper 16 bits of a float32.
enum class MatrixType { kFloat32, kBFloat16 };

constexpr std::int64_t bytes_of(MatrixType type) { return type == MatrixType::kFloat32 ? 4 : 2; }

/// Where the element [batch, row, column] is: steps in elements. A batch step of 0 repeats one
/// matrix.
struct MatrixLayout {
  MatrixType type = MatrixType::kFloat32;
  std::int64_t row_step = 1;
  std::int64_t column_step = 1;
  std::int64_t batch_step = 0;

  bool operator==(const MatrixLayout&) const = default;
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
  /// Multiplied by the slope of GELU at `preactivation`, which is read: the gradient of kGelu. GELU itself at `preactivation` is
  /// written to `activated`, if there is one.
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
  /// What operands are multiplied as. Operands stored otherwise are converted: on a device as they are read, which is slower than a copy
  /// that several products read, and not done by the driver library.
  MatrixType product = MatrixType::kFloat32;
  /// c += instead of c =; the processor adds to float32 only.
  bool accumulate = false;
  MatmulEpilogue epilogue;
};

}  // namespace dm
