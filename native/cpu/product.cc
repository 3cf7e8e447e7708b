// SPDX-License-Identifier: Apache-2.0
// Making and running oneDNN primitives; what differs between its versions 2 and 3 is here.
#include "cpu/product.h"

#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "core/lru-cache.h"

namespace dm::cpu {

namespace {

using dnnl::memory;

constexpr std::size_t kKeptProducts = 1024;
constexpr std::size_t kKeptPackings = 256;
/// Rows that packed forms are chosen for; products with other numbers of rows take the same form.
constexpr std::int64_t kPackedForRows = 256;

memory::data_type data_type(MatrixType type) {
  return type == MatrixType::kFloat32 ? memory::data_type::f32 : memory::data_type::bf16;
}

/// The steps of an axis of one element mean nothing; oneDNN wants to see a plain matrix all the
/// same.
memory::desc plain(std::int64_t batch, std::int64_t rows, std::int64_t columns,
                   const MatrixLayout& layout) {
  std::int64_t row_step = layout.row_step;
  std::int64_t column_step = layout.column_step;
  if (columns == 1 && row_step != 1) column_step = 1;
  if (rows == 1 && column_step == 1) row_step = columns;
  if (rows == 1 && column_step != 1) row_step = 1;
  if (batch == 1) return {{rows, columns}, data_type(layout.type), {row_step, column_step}};
  // A matrix that repeats is an axis of one element.
  const std::int64_t matrices = layout.batch_step == 0 ? 1 : batch;
  const std::int64_t batch_step = layout.batch_step == 0 ? rows * columns : layout.batch_step;
  return {{matrices, rows, columns}, data_type(layout.type), {batch_step, row_step, column_step}};
}

dnnl::primitive_attr attributes(bool accumulate) {
  dnnl::primitive_attr result;
  result.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    result.set_post_ops(after);
  }
  return result;
}

dnnl::matmul::primitive_desc describe(const memory::desc& a, const memory::desc& b,
                                      const memory::desc* bias, const memory::desc& c,
                                      const dnnl::primitive_attr& attr) {
  onednn_stream();  // one thread, as when it runs
  const dnnl::engine& engine = onednn_engine();
#if DNNL_VERSION_MAJOR >= 3
  return bias == nullptr ? dnnl::matmul::primitive_desc(engine, a, b, c, attr)
                         : dnnl::matmul::primitive_desc(engine, a, b, *bias, c, attr);
#else
  const dnnl::matmul::desc desc =
      bias == nullptr ? dnnl::matmul::desc(a, b, c) : dnnl::matmul::desc(a, b, *bias, c);
  return {desc, attr, engine};
#endif
}

/// What oneDNN likes best for a right-hand side [k, n].
memory::desc packed_form(std::int64_t k, std::int64_t n, MatrixType type) {
  const memory::desc a = plain(1, kPackedForRows, k, row_major(k, type));
  const memory::desc b({k, n}, data_type(type), memory::format_tag::any);
  const memory::desc c = plain(1, kPackedForRows, n, row_major(n));
  return describe(a, b, nullptr, c, attributes(false)).weights_desc();
}

memory at(const memory::desc& desc, const void* data) {
  // oneDNN has no const memory; what is an input stays one.
  return {desc, onednn_engine(), const_cast<void*>(data)};
}

auto tie(const MatrixLayout& x) {
  return std::make_tuple(x.type, x.row_step, x.column_step, x.batch_step);
}

auto tie(const ProductShape& x) {
  return std::make_tuple(x.batch, x.m, x.k, x.n, tie(x.a), tie(x.b), tie(x.c), x.packed,
                         x.accumulate, x.biased);
}

}  // namespace

bool ProductShape::operator<(const ProductShape& other) const {
  return cpu::tie(*this) < cpu::tie(other);
}

Product::Product(const ProductShape& shape) {
  const auto& [batch, m, k, n, a, b, c, packed, accumulate, biased] = shape;
  a_ = plain(batch, m, k, a);
  b_ = packed ? packed_form(k, n, b.type) : plain(batch, k, n, b);
  c_ = plain(batch, m, n, c);
  if (biased) {
    bias_ = batch == 1 ? memory::desc({1, n}, memory::data_type::f32, memory::dims{n, 1})
                       : memory::desc({1, 1, n}, memory::data_type::f32, memory::dims{n, n, 1});
  }
  const auto described = describe(a_, b_, biased ? &bias_ : nullptr, c_, attributes(accumulate));
  scratch_ = described.scratchpad_desc();
  const std::string_view implementation = described.impl_info_str();
  optimised_ = implementation.find("ref") == std::string_view::npos;
  primitive_ = dnnl::matmul(described);
}

void Product::run(const void* a, const void* b, const float* bias, void* c, void* scratch) const {
  std::unordered_map<int, memory> memories{{DNNL_ARG_SRC, at(a_, a)},
                                           {DNNL_ARG_WEIGHTS, at(b_, b)},
                                           {DNNL_ARG_DST, at(c_, c)},
                                           {DNNL_ARG_SCRATCHPAD, at(scratch_, scratch)}};
  if (bias != nullptr) memories.emplace(DNNL_ARG_BIAS, at(bias_, bias));
  primitive_.execute(onednn_stream(), memories);
}

std::shared_ptr<const Product> product_of(const ProductShape& shape) {
  static auto& products = *new LruCache<ProductShape, Product>(kKeptProducts);
  return products.get(shape, [&] { return std::make_shared<const Product>(shape); });
}

PanelPacking::PanelPacking(std::int64_t k, std::int64_t n, const MatrixLayout& source,
                           MatrixType type)
    : source_(plain(1, k, n, source)), packed_(packed_form(k, n, type)) {
  const dnnl::engine& engine = onednn_engine();
  const dnnl::reorder::primitive_desc described(engine, source_, engine, packed_,
                                                attributes(false));
  scratch_ = described.scratchpad_desc();
  primitive_ = dnnl::reorder(described);
}

void PanelPacking::run(const void* source, void* packed, void* scratch) const {
  primitive_.execute(onednn_stream(), {{DNNL_ARG_FROM, at(source_, source)},
                                       {DNNL_ARG_TO, at(packed_, packed)},
                                       {DNNL_ARG_SCRATCHPAD, at(scratch_, scratch)}});
}

std::shared_ptr<const PanelPacking> packing_of(std::int64_t k, std::int64_t n,
                                               const MatrixLayout& source, MatrixType type) {
  using PackingKey =
      std::tuple<std::int64_t, std::int64_t, MatrixType, std::int64_t, std::int64_t, MatrixType>;
  static auto& packings = *new LruCache<PackingKey, PanelPacking>(kKeptPackings);
  return packings.get({k, n, source.type, source.row_step, source.column_step, type},
                      [&] { return std::make_shared<const PanelPacking>(k, n, source, type); });
}

}  // namespace dm::cpu
