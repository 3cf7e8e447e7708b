// SPDX-License-Identifier: Apache-2.0
// The right-hand side of a product, rearranged for oneDNN: cut into panels of columns, each in the
// order in which it will be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "cpu/matmul.h"

namespace dm::cpu {

/// How columns are cut into panels. For weights a function of their number alone, so that packed
/// forms fit any number of rows.
struct Panels {
  static Panels of_weight(std::int64_t columns);
  static Panels whole(std::int64_t columns) { return {columns, 1, columns}; }
  std::int64_t width;  ///< columns of each panel but the last
  std::int64_t count;
  std::int64_t last;  ///< columns of the last
};

/// Uninitialised, 64-byte aligned memory of the buffer pool.
class Block {
 public:
  /// Throws std::bad_alloc.
  explicit Block(std::size_t bytes);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  std::size_t bytes_;
  void* data_;
};

/// One rearranged matrix [k, n].
class PackedMatrix {
 public:
  PackedMatrix(std::int64_t k, const Panels& panels, const MatrixLayout& source, MatrixType type,
               const void* values);
  const void* panel(std::int64_t index) const;

 private:
  std::size_t panel_bytes_;
  std::unique_ptr<Block> block_;
};

/// The rearranged forms of a weight that products have asked for so far: at most one for each
/// direction and type. Lives with its buffer, so one JavaScript thread uses it.
class PackedWeight {
 public:
  const PackedMatrix& form(std::int64_t k, std::int64_t n, const MatrixLayout& source,
                           MatrixType type, const void* values);

 private:
  using Key =
      std::tuple<std::int64_t, std::int64_t, MatrixType, std::int64_t, std::int64_t, MatrixType>;
  std::map<Key, std::unique_ptr<PackedMatrix>> forms_;
};

}  // namespace dm::cpu
