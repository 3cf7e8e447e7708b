// SPDX-License-Identifier: Apache-2.0
// The operands of a product as oneDNN likes to read them: of the right type and without gaps. Used
// by matmul.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/matmul.h"
#include "cpu/packed-weight.h"

namespace dm::cpu {

inline const std::byte* offset(const void* data, std::int64_t elements, MatrixType type) {
  return static_cast<const std::byte*>(data) + elements * static_cast<std::int64_t>(bytes_of(type));
}

inline std::byte* offset(void* data, std::int64_t elements, MatrixType type) {
  return static_cast<std::byte*>(data) + elements * static_cast<std::int64_t>(bytes_of(type));
}

/// y[i] = x[i * step], converted.
void convert_row(const void* x, MatrixType from, std::int64_t step, void* y, MatrixType to,
                 std::int64_t count);

/// A matrix, or a batch of them.
struct Operand {
  const void* data = nullptr;
  MatrixLayout layout;
  /// If not 0: strips of so many rows (the last may have fewer) follow each other, each stored by
  /// columns without gaps.
  std::int64_t strip = 0;
  std::unique_ptr<Block> copy = nullptr;  ///< where the data is when it had to be copied
};

/// Whether rows or columns follow each other without gaps.
bool dense(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns);
/// As `dense`, but with gaps between the rows or columns.
bool plain(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns);

/// The operand itself if it is of `type` and dense (in a batch: plain), else a dense copy, by rows
/// or by columns as the original.
Operand ready(const void* data, const MatrixLayout& layout, std::int64_t batch, std::int64_t rows,
              std::int64_t columns, MatrixType type);

/// As `ready` for one matrix that is read in strips of rows.
Operand ready_in_strips(const void* data, const MatrixLayout& layout, std::int64_t rows,
                        std::int64_t columns, MatrixType type, std::int64_t strip);

/// As float32 by rows.
Operand ready_by_rows(const void* data, const MatrixLayout& layout, std::int64_t batch,
                      std::int64_t rows, std::int64_t columns);

}  // namespace dm::cpu
