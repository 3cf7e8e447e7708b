// SPDX-License-Identifier: Apache-2.0
// What BatchMatMul is given: that of tfjs, whose batch axes broadcast, optionally with a bias on the columns. Always float32.
#pragma once

#include <cstdint>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "core/matmul-description.h"

namespace dm {

/// buffers: a [aBatch…, m, k] (transposed: [aBatch…, k, m]), b [bBatch…, k, n] (transposed: [bBatch…, n, k]), bias [n] if biased, c
/// [batch…, m, n]. numbers: [m, k, n, transposeA, transposeB, biased, rank, aBatch… (rank), bBatch… (rank)], batch shapes padded with
/// ones to a common rank <= 8.
struct BatchMatmulArguments {
  Arguments in;
  MatmulDescription product;  ///< of one row of `batches`
  Broadcast batches;

  explicit BatchMatmulArguments(const OpArguments& arguments);

  struct Operands {
    const float *a, *b;
    float* c;
  };
  /// Of the product of a row of `batches`.
  Operands operands(std::int64_t row) const;

 private:
  Operands first_;
  std::int64_t a_size_, b_size_, c_size_;  ///< of a matrix
};

}  // namespace dm
