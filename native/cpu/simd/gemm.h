// SPDX-License-Identifier: Apache-2.0
// Tiles of a matrix product, and the rearranged operands that they read. For cpu/matmul.cc.
//
// Operands are rearranged into words of 32 bits along k: one float32, or two bfloat16 that follow each other. A line is a
// row of a or a column of b.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// Lines of an operand as they are stored.
struct GemmLines {
  const void* data;       ///< element 0 of line 0
  bool bfloat16;          ///< else float32
  std::int64_t line_step;  ///< elements from line to line
  std::int64_t k_step;     ///< elements along a line
};

/// One tile: c [rows, columns] = (c +) a b.
struct GemmTile {
  int rows;     ///< 1..tile_rows
  int columns;  ///< 1..tile_columns
  std::int64_t words;
  const void* a;  ///< [words, sliver]
  const void* b;  ///< [words, tile_columns]
  float* c;
  std::int64_t c_step;
  bool add;  ///< else c is overwritten
};

using GemmPack = void (*)(const GemmLines& from, std::int64_t lines, std::int64_t k,
                          std::int64_t advance, std::int64_t width, void* out);

struct GemmKernels {
  int tile_rows;
  int tile_columns;
  int sliver;  ///< lines of a rearranged block of a: at least tile_rows
  /// out [panels, words, width]: panel i has the lines [i advance, i advance + width), as far as there are so many, of `k` elements,
  /// converted to bfloat16 or float32; zeros for lines and elements that are missing. `width` is a multiple of the lanes.
  GemmPack pack_float32;
  GemmPack pack_bfloat16;
  void (*multiply_float32)(const GemmTile& tile);
  /// Null where the instruction set has no products of bfloat16.
  void (*multiply_bfloat16)(const GemmTile& tile);
};

DM_PER_ISA(GemmKernels, kGemm)

}  // namespace dm::cpu
