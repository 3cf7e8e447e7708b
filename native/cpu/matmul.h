// SPDX-License-Identifier: Apache-2.0
// Matrix products for every op (core/matmul-description.h), on the pool.
//
// Work is cut into tasks that depend on the shape alone, each done by one thread of the pool: the
// bits do not depend on the number of threads. bfloat16 operands are multiplied exactly and
// summed in float32; on processors without bfloat16 products they are widened and multiplied in
// float32.
#pragma once

#include <cstdint>

#include "core/matmul-description.h"
#include "dm/status.h"

namespace dm::cpu {

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
