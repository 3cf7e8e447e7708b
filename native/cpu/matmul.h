// SPDX-License-Identifier: Apache-2.0
// Matrix products for every op: c = [c +] residual + row scale * activation(scale * a b + bias),
// batched, in any layout, in float32 or bfloat16.
//
// Work is cut into tasks that depend on the shape alone, each done by one thread of the pool: the
// bits do not depend on the number of threads. bfloat16 operands are multiplied exactly and
// summed in float32; on processors without bfloat16 products they are widened and multiplied in
// float32.
#pragma once

#include <cstdint>

#include "dm/buffer.h"
#include "dm/status.h"

namespace dm::cpu {

/// How the elements of a matrix are stored; bfloat16 as its upper 16 bits of a float32.
enum class MatrixType { kFloat32, kBFloat16 };

inline std::size_t bytes_of(MatrixType type) { return type == MatrixType::kFloat32 ? 4 : 2; }

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
inline MatrixLayout row_major(std::int64_t columns, MatrixType type = MatrixType::kFloat32,
                              std::int64_t batch_step = 0) {
  return {type, columns, 1, batch_step};
}

/// The transpose of a matrix stored as [columns, rows]: what is read as [rows, columns].
inline MatrixLayout transposed(std::int64_t rows, MatrixType type = MatrixType::kFloat32,
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

/// What follows the product, in this order; null means without. Everything but the product is
/// computed in float32.
struct MatmulEpilogue {
  float scale = 1;
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
  /// What operands are multiplied as. Operands stored otherwise are converted first.
  MatrixType product = MatrixType::kFloat32;
  /// c += instead of c =; float32 only.
  bool accumulate = false;
  MatmulEpilogue epilogue;
};

/// Computes one product.
Status matmul(const MatmulDescription& description, const void* a, const void* b, void* c);

/// Whether bfloat16 products run as such here; else they are computed in float32.
bool has_bfloat16();

/// sums[j] = sum over i of x[i, j], x [rows, columns] dense: the gradient of a bias. In a fixed
/// order, float32.
void column_sums(const void* x, MatrixType type, std::int64_t rows, std::int64_t columns,
                 float* sums);

/// Converts `count` elements on the pool; to nearest, ties to even.
void to_bfloat16(const float* x, std::uint16_t* y, std::int64_t count);

}  // namespace dm::cpu
