// SPDX-License-Identifier: Apache-2.0
// Copies of operands.
#include "cpu/operand.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/thread-pool.h"
#include "cpu/simd/matmul.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

std::int64_t lines_per_chunk(std::int64_t length) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, length));
}

std::unique_ptr<Block> block_of(std::int64_t elements, MatrixType type) {
  return std::make_unique<Block>(static_cast<std::size_t>(elements) * bytes_of(type));
}

/// A copy whose lines (rows, or columns) follow each other.
Operand copied(const void* data, const MatrixLayout& layout, std::int64_t batch, std::int64_t rows,
               std::int64_t columns, MatrixType type, bool by_rows) {
  const std::int64_t lines = by_rows ? rows : columns;
  const std::int64_t length = by_rows ? columns : rows;
  const std::int64_t line_step = by_rows ? layout.row_step : layout.column_step;
  const std::int64_t element_step = by_rows ? layout.column_step : layout.row_step;
  const std::int64_t matrices = layout.batch_step == 0 ? 1 : batch;
  auto copy = block_of(matrices * lines * length, type);
  void* out = copy->data();
  parallel_for(matrices * lines, lines_per_chunk(length),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t from = i / lines * layout.batch_step + i % lines * line_step;
                   convert_row(offset(data, from, layout.type), layout.type, element_step,
                               offset(out, i * length, type), type, length);
                 }
               });
  const std::int64_t batch_step = layout.batch_step == 0 ? 0 : lines * length;
  const MatrixLayout dense =
      by_rows ? row_major(columns, type, batch_step) : transposed(rows, type, batch_step);
  return {out, dense, 0, std::move(copy)};
}

}  // namespace

void convert_row(const void* x, MatrixType from, std::int64_t step, void* y, MatrixType to,
                 std::int64_t count) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  if (step == 1 && from == to) {
    std::memcpy(y, x, static_cast<std::size_t>(count) * bytes_of(to));
  } else if (step == 1 && to == MatrixType::kBFloat16) {
    kernels.to_bfloat16(static_cast<const float*>(x), static_cast<std::uint16_t*>(y), count);
  } else if (step == 1) {
    kernels.from_bfloat16(static_cast<const std::uint16_t*>(x), static_cast<float*>(y), count);
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      convert_row(offset(x, i * step, from), from, 1, offset(y, i, to), to, 1);
    }
  }
}

bool dense(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns) {
  const bool by_rows =
      (columns == 1 || layout.column_step == 1) && (rows == 1 || layout.row_step == columns);
  const bool by_columns =
      (rows == 1 || layout.row_step == 1) && (columns == 1 || layout.column_step == rows);
  return by_rows || by_columns;
}

bool plain(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns) {
  const bool by_rows =
      (columns == 1 || layout.column_step == 1) && (rows == 1 || layout.row_step >= columns);
  const bool by_columns =
      (rows == 1 || layout.row_step == 1) && (columns == 1 || layout.column_step >= rows);
  return by_rows || by_columns;
}

Operand ready(const void* data, const MatrixLayout& layout, std::int64_t batch, std::int64_t rows,
              std::int64_t columns, MatrixType type) {
  const bool good = batch == 1 ? dense(layout, rows, columns) : plain(layout, rows, columns);
  if (good && layout.type == type) return {data, layout};
  return copied(data, layout, batch, rows, columns, type, layout.row_step >= layout.column_step);
}

Operand ready_in_strips(const void* data, const MatrixLayout& layout, std::int64_t rows,
                        std::int64_t columns, MatrixType type, std::int64_t strip) {
  if (strip >= rows || layout.row_step >= layout.column_step) {
    return ready(data, layout, 1, rows, columns, type);
  }
  auto copy = block_of(rows * columns, type);
  void* out = copy->data();
  parallel_for(columns, lines_per_chunk(rows), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = 0; first < rows; first += strip) {
      const std::int64_t length = std::min(strip, rows - first);
      for (std::int64_t column = begin; column < end; ++column) {
        const std::int64_t from = first * layout.row_step + column * layout.column_step;
        convert_row(offset(data, from, layout.type), layout.type, layout.row_step,
                    offset(out, first * columns + column * length, type), type, length);
      }
    }
  });
  return {out, {type, 1, strip, 0}, strip, std::move(copy)};
}

Operand ready_by_rows(const void* data, const MatrixLayout& layout, std::int64_t batch,
                      std::int64_t rows, std::int64_t columns) {
  constexpr MatrixType kType = MatrixType::kFloat32;
  if (layout.type == kType && (columns == 1 || layout.column_step == 1)) return {data, layout};
  return copied(data, layout, batch, rows, columns, kType, true);
}

}  // namespace dm::cpu
