// SPDX-License-Identifier: Apache-2.0
// One call of oneDNN: a product of given sizes and layouts, made ready once and kept; and the
// rearranged ("packed") right-hand side that it likes best. Used by matmul.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/matmul.h"
#include "cpu/onednn.h"

namespace dm::cpu {

/// c [batch, m, n] = (c +) a [batch, m, k] b [batch, k, n] (+ bias [n], float32); a and b of one
/// type.
struct ProductShape {
  std::int64_t batch = 1, m = 0, k = 0, n = 0;
  MatrixLayout a, b, c;  // of b only the type counts when it is packed
  bool packed = false;
  bool accumulate = false;
  bool biased = false;

  bool operator<(const ProductShape& other) const;
};

/// Immutable once made; any thread may run it.
class Product {
 public:
  explicit Product(const ProductShape& shape);
  std::size_t scratch_bytes() const { return scratch_.get_size(); }
  /// False for oneDNN's plain loops, which are only right, not fast.
  bool optimised() const { return optimised_; }
  /// `scratch` is 64-byte aligned.
  void run(const void* a, const void* b, const float* bias, void* c, void* scratch) const;

 private:
  dnnl::memory::desc a_, b_, bias_, c_, scratch_;
  dnnl::primitive primitive_;
  bool optimised_ = false;
};

/// The product of this shape, made on first use; the latest 1024 are kept.
std::shared_ptr<const Product> product_of(const ProductShape& shape);

/// The rearrangement of a panel [k, n], stored as `source`, for products of `type`.
class PanelPacking {
 public:
  PanelPacking(std::int64_t k, std::int64_t n, const MatrixLayout& source, MatrixType type);
  std::size_t bytes() const { return packed_.get_size(); }
  std::size_t scratch_bytes() const { return scratch_.get_size(); }
  void run(const void* source, void* packed, void* scratch) const;

 private:
  dnnl::memory::desc source_, packed_, scratch_;
  dnnl::primitive primitive_;
};

std::shared_ptr<const PanelPacking> packing_of(std::int64_t k, std::int64_t n,
                                               const MatrixLayout& source, MatrixType type);

}  // namespace dm::cpu
