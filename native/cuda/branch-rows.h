// SPDX-License-Identifier: Apache-2.0
// What stands around the products of linear maps and branches: copies in bfloat16, sums of columns. R rows, C columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/linear-products.h"
#include "cuda/core/device.h"
#include "cuda/core/scratch-plan.h"
#include "cuda/matmul.h"

namespace dm::cuda {

/// y [count] = x [count], to nearest.
void round_to_bf16(Device& device, const float* x, void* y, std::int64_t count);

struct ColumnSums {
  const void* x = nullptr;  ///< [R, C]
  MatrixType type = MatrixType::kFloat32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// Row r of x is multiplied by factors[r / rows_per_factor] first; or null.
  const float* factors = nullptr;
  std::int64_t rows_per_factor = 1;
  /// [R, C]: x times its factors, stored as `y_type`; or null.
  void* y = nullptr;
  MatrixType y_type = MatrixType::kFloat32;
};

/// How sums of columns are spread over blocks.
struct ColumnBlocks {
  std::int64_t blocks, rows_per_block;
};
ColumnBlocks column_blocks(const Device& device, std::int64_t rows, std::int64_t columns);

/// Bytes that column_sums works in.
std::int64_t column_sums_scratch(const Device& device, std::int64_t rows, std::int64_t columns);

/// sums [C] over the rows, of float32 values, in a fixed order.
void column_sums(Device& device, const ColumnSums& columns, float* sums, void* scratch);

/// Float32 operands in the type of the products: themselves, or planned copies in bfloat16.
class TypedCopies {
 public:
  TypedCopies(ScratchPlan& plan, MatrixType type) : plan_(plan), type_(type) {}

  MatrixType type() const { return type_; }

  /// Plans a copy of `count` numbers, if there has to be one.
  std::size_t add(std::int64_t count) {
    return type_ == MatrixType::kBFloat16 ? plan_.add(2 * count) : 0;
  }
  /// A weight, which needs no plan: the device keeps its copy.
  const void* weight(Device& device, const float* master, std::int64_t count) const {
    if (type_ == MatrixType::kFloat32) return master;
    return device.shadows().of(master, count);
  }
  /// Copies, after plan.take().
  const void* make(Device& device, std::size_t piece, const float* x, std::int64_t count) const {
    if (type_ == MatrixType::kFloat32) return x;
    round_to_bf16(device, x, plan_.at(piece), count);
    return plan_.at(piece);
  }

 private:
  ScratchPlan& plan_;
  MatrixType type_;
};

}  // namespace dm::cuda
