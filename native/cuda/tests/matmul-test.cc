// SPDX-License-Identifier: Apache-2.0
// Products on the device against float64: layouts, tails, tiles, batches and epilogues, in both types.
#include "cuda/matmul.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "block-reference.h"
#include "cuda/core/bf16.cuh"
#include "device-run.h"

using dm::MatmulActivation;
using dm::MatmulDescription;
using dm::MatrixLayout;
using dm::MatrixType;
using dm::test::device;
using dm::test::noise;
using dm::test::Reals;
using dm::test::relative_error;

namespace {

constexpr MatrixType kFloat = MatrixType::kFloat32;
constexpr MatrixType kHalf = MatrixType::kBFloat16;

/// Values stored as a type, from `offset` elements on; what is stored is `exact`.
struct Stored {
  Stored(std::size_t count, unsigned salt, MatrixType type_, std::size_t offset_ = 0)
      : type(type_), offset(offset_), floats(noise(offset_ + count, salt)) {
    halves.reserve(floats.size());
    for (float& value : floats) {
      halves.push_back(dm::cuda::to_bf16(value));
      if (type == kHalf) value = dm::cuda::to_float(halves.back());
    }
    exact.assign(floats.begin() + static_cast<std::ptrdiff_t>(offset), floats.end());
  }

  static Stored unwritten(std::size_t count, MatrixType type) {
    Stored result(0, 0, type);
    result.floats = dm::test::unwritten(count);
    for (const float value : result.floats) result.halves.push_back(dm::cuda::to_bf16(value));
    return result;
  }

  dm::Buffer buffer() {
    return type == kHalf ? dm::test::buffer_of(halves) : dm::test::buffer_of(floats);
  }
  std::vector<float> values() const {
    if (type == kFloat) return {floats.begin() + static_cast<std::ptrdiff_t>(offset), floats.end()};
    std::vector<float> result;
    for (std::size_t i = offset; i < halves.size(); ++i) result.push_back(dm::cuda::to_float(halves[i]));
    return result;
  }

  MatrixType type;
  std::size_t offset;
  std::vector<float> floats;
  std::vector<dm::cuda::bf16> halves;
  Reals exact;
};

/// It on the device.
struct There {
  explicit There(Stored& stored) : offset(stored.offset * (stored.type == kHalf ? 2 : 4)), copy(stored.buffer()) {}
  void* data() const { return static_cast<std::byte*>(copy.data()) + offset; }
  float* floats() const { return static_cast<float*>(data()); }

  std::size_t offset;
  dm::test::DeviceCopy copy;
};

/// What an operand is multiplied as.
double as_multiplied(double value, MatrixType product) {
  if (product == kFloat) return value;
  return static_cast<double>(dm::cuda::to_float(dm::cuda::to_bf16(static_cast<float>(value))));
}

struct Case {
  std::size_t m, k, n;
  bool a_transposed = false;
  bool b_transposed = false;
  MatrixType product = kHalf;
  MatrixType a_type = kHalf, b_type = kHalf, c_type = kFloat;
  std::size_t batch = 1;
  bool one_b = false;         ///< for the whole batch
  std::size_t offset = 0;     ///< elements before the operands: misaligned
  std::size_t padding = 0;    ///< unread elements at the end of every stored row
};

/// The product by definition.
Reals exact_product(const Case& t, const Stored& a, const Stored& b) {
  Reals c(t.batch * t.m * t.n);
  const std::size_t a_step = (t.a_transposed ? t.m : t.k) + t.padding;
  const std::size_t b_step = (t.b_transposed ? t.k : t.n) + t.padding;
  for (std::size_t s = 0; s < t.batch; ++s) {
    const std::size_t a_first = s * (t.a_transposed ? t.k : t.m) * a_step;
    const std::size_t b_first = t.one_b ? 0 : s * (t.b_transposed ? t.n : t.k) * b_step;
    for (std::size_t i = 0; i < t.m; ++i) {
      for (std::size_t l = 0; l < t.k; ++l) {
        const std::size_t at = t.a_transposed ? l * a_step + i : i * a_step + l;
        const double left = as_multiplied(a.exact[a_first + at], t.product);
        for (std::size_t j = 0; j < t.n; ++j) {
          const std::size_t from = t.b_transposed ? j * b_step + l : l * b_step + j;
          c[(s * t.m + i) * t.n + j] += left * as_multiplied(b.exact[b_first + from], t.product);
        }
      }
    }
  }
  return c;
}

MatmulDescription describe(const Case& t) {
  const auto n = [](std::size_t count) { return static_cast<std::int64_t>(count); };
  const auto layout = [&](bool is_transposed, std::size_t rows, std::size_t columns, MatrixType type,
                          bool repeated) {
    const std::int64_t step = n((is_transposed ? rows : columns) + t.padding);
    const std::int64_t batch = repeated ? 0 : step * n(is_transposed ? columns : rows);
    return is_transposed ? MatrixLayout{type, 1, step, batch} : MatrixLayout{type, step, 1, batch};
  };
  MatmulDescription d;
  d.m = n(t.m);
  d.k = n(t.k);
  d.n = n(t.n);
  d.batch = n(t.batch);
  d.a = layout(t.a_transposed, t.m, t.k, t.a_type, false);
  d.b = layout(t.b_transposed, t.k, t.n, t.b_type, t.one_b);
  d.c = dm::row_major(d.n, t.c_type, d.m * d.n);
  d.product = t.product;
  return d;
}

Stored operand(const Case& t, bool is_transposed, std::size_t rows, std::size_t columns,
               MatrixType type, unsigned salt) {
  const std::size_t stored = is_transposed ? columns * (rows + t.padding) : rows * (columns + t.padding);
  return Stored(t.batch * stored, salt, type, t.offset);
}

/// Tensor cores cut sums off, towards zero: of numbers in -1..1 about 1e-6 of the result after 1100 terms in one run, and so on in proportion.
double bound_of(const Case& t) {
  if (t.c_type == kHalf) return 2.5e-3;
  return t.product == kHalf ? 1e-6 + 2e-9 * static_cast<double>(t.k) : 1e-6;
}

void compare(const Case& t) {
  Stored a = operand(t, t.a_transposed, t.m, t.k, t.a_type, 1);
  Stored b = operand(t, t.b_transposed, t.k, t.n, t.b_type, 2);
  Stored c = Stored::unwritten(t.batch * t.m * t.n, t.c_type);
  const There there_a(a), there_b(b), there_c(c);
  device().clear();
  dm::cuda::matmul(device(), describe(t), there_a.data(), there_b.data(), there_c.data());
  there_c.copy.fetch();
  CHECK_EQUAL(device().status().message(), "");
  CHECK_ERROR(relative_error(c.values(), exact_product(t, a, b)), bound_of(t));
}

/// All layouts of a size, in both types.
void compare_layouts(std::size_t m, std::size_t k, std::size_t n) {
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      compare({m, k, n, a_transposed, b_transposed});
      compare({m, k, n, a_transposed, b_transposed, kFloat, kFloat, kFloat});
    }
  }
}

}  // namespace

TEST("every layout at odd sizes, with tails along every axis") {
  compare_layouts(1, 1, 1);
  compare_layouts(15, 17, 33);
  compare_layouts(51, 102, 65);
  compare_layouts(67, 31, 130);
}

TEST("every layout at sizes of whole chunks: one slice, fewer than the stages, more, a tail of k") {
  for (const std::size_t k : {8, 32, 72, 128, 200}) compare_layouts(64, k, 72);
  // Rows of x are any number: tokens.
  compare({157, 64, 48, false, true});
  compare({48, 157, 64, true, false});
}

TEST("large tiles") {
  compare_layouts(136, 72, 264);
  compare({313, 40, 136, false, true});
  compare({136, 313, 136, true, false});
  compare({133, 37, 259, false, true, kFloat, kFloat, kFloat});
}

TEST("float32 operands of a bfloat16 product, and bfloat16 operands of a float32 one") {
  compare({70, 40, 66, false, true, kHalf, kFloat, kHalf});
  compare({70, 40, 66, true, false, kHalf, kHalf, kFloat});
  compare({70, 40, 66, false, false, kHalf, kFloat, kFloat});
  compare({70, 40, 66, false, true, kFloat, kHalf, kHalf});
}

TEST("results in bfloat16, misaligned operands, rows with a gap") {
  for (const MatrixType product : {kHalf, kFloat}) {
    compare({40, 64, 72, false, true, product, product, product, kHalf});
    compare({39, 64, 71, false, true, product, product, product, kHalf});
    compare({.m = 40, .k = 64, .n = 72, .product = product, .a_type = product, .b_type = product,
             .offset = 3});
    compare({.m = 40, .k = 64, .n = 72, .product = product, .a_type = product, .b_type = product,
             .padding = 8});
  }
}

TEST("batches, and one matrix for a whole batch") {
  for (const MatrixType product : {kHalf, kFloat}) {
    compare({.m = 24, .k = 16, .n = 40, .product = product, .a_type = product, .b_type = product,
             .batch = 3});
    compare({.m = 9, .k = 7, .n = 5, .product = product, .a_type = product, .b_type = product,
             .batch = 5, .one_b = true});
  }
}

namespace {

/// One epilogue with everything in it, or parts.
struct Parts {
  bool bias, gelu, slope, scale, residual, accumulate;
};

void compare_epilogue(const Case& t, const Parts& parts, MatrixType saved) {
  Stored a = operand(t, t.a_transposed, t.m, t.k, t.a_type, 1);
  Stored b = operand(t, t.b_transposed, t.k, t.n, t.b_type, 2);
  Stored bias(t.n, 3, kFloat);
  Stored factors((t.m + 6) / 7, 4, kFloat);
  Stored residual(t.m * t.n, 5, kFloat);
  Stored before(t.m * t.n, 6, saved);
  Stored activated = Stored::unwritten(t.m * t.n, saved);
  Stored c = parts.accumulate ? Stored(t.m * t.n, 7, kFloat) : Stored::unwritten(t.m * t.n, t.c_type);
  if (parts.gelu) before = Stored::unwritten(t.m * t.n, saved);
  Reals expected = exact_product(t, a, b);
  Reals expected_before(expected.size());
  Reals expected_after(expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double& value = expected[i];
    if (parts.bias) value += bias.exact[i % t.n];
    expected_before[i] = value;
    if (parts.gelu) value = dm::test::gelu(value);
    if (parts.slope) {
      value *= dm::test::gelu_slope(before.exact[i]);
      expected_after[i] = dm::test::gelu(before.exact[i]);
    }
    if (parts.scale) value *= factors.exact[i / t.n / 7];
    if (parts.residual) value += residual.exact[i];
    if (parts.accumulate) value += c.exact[i];
  }
  const There there_a(a), there_b(b), there_c(c), there_bias(bias), there_factors(factors);
  const There there_residual(residual), there_before(before), there_activated(activated);
  MatmulDescription d = describe(t);
  d.accumulate = parts.accumulate;
  if (parts.bias) d.epilogue.bias = there_bias.floats();
  if (parts.gelu) d.epilogue.activation = MatmulActivation::kGelu;
  if (parts.slope) d.epilogue.activation = MatmulActivation::kGeluSlope;
  d.epilogue.preactivation = there_before.data();
  d.epilogue.activated = there_activated.data();
  d.epilogue.preactivation_type = saved;
  if (parts.scale) d.epilogue.row_scale = there_factors.floats();
  d.epilogue.rows_per_scale = 7;
  if (parts.residual) d.epilogue.residual = there_residual.floats();
  device().clear();
  dm::cuda::matmul(device(), d, there_a.data(), there_b.data(), there_c.data());
  there_c.copy.fetch();
  there_before.copy.fetch();
  there_activated.copy.fetch();
  CHECK_EQUAL(device().status().message(), "");
  const double saved_bound = saved == kHalf ? 2.5e-3 : 1e-6;
  CHECK_ERROR(relative_error(c.values(), expected), bound_of(t));
  if (parts.gelu) CHECK_ERROR(relative_error(before.values(), expected_before), saved_bound);
  if (parts.slope) CHECK_ERROR(relative_error(activated.values(), expected_after), saved_bound);
}

}  // namespace

TEST("every part of the epilogue, with whole quads and with ragged ones") {
  for (const std::size_t n : {40, 37}) {
    for (const MatrixType saved : {kFloat, kHalf}) {
      const Case t{.m = 30, .k = 24, .n = n, .b_transposed = true};
      compare_epilogue(t, {true, false, false, false, false, false}, saved);
      compare_epilogue(t, {true, true, false, false, false, false}, saved);
      compare_epilogue(t, {false, false, true, false, false, false}, saved);
      compare_epilogue(t, {true, false, false, true, true, false}, saved);
      compare_epilogue(t, {false, false, false, false, false, true}, saved);
      compare_epilogue(t, {true, true, false, true, true, true}, saved);
      Case floats = t;
      floats.product = floats.a_type = floats.b_type = kFloat;
      compare_epilogue(floats, {true, true, false, true, true, true}, saved);
    }
  }
}

TEST("few tiles and many terms: parts of k, of which the last is shorter, in either tile, with the whole epilogue") {
  compare_layouts(24, 1100, 40);
  compare_layouts(15, 1537, 17);
  compare({72, 2200, 136, true, false});
  compare({72, 2200, 136, true, false, kFloat, kFloat, kFloat});
  compare({24, 1032, 16, true, false, kHalf, kFloat, kHalf});
  for (const MatrixType product : {kHalf, kFloat}) {
    compare({.m = 9, .k = 1100, .n = 12, .product = product, .a_type = product, .b_type = product,
             .c_type = kHalf, .batch = 3, .one_b = true});
    const Case t{.m = 30, .k = 1100, .n = 37, .product = product, .a_type = product, .b_type = product};
    compare_epilogue(t, {true, true, false, true, true, true}, kFloat);
    compare_epilogue(t, {true, false, true, false, true, false}, kHalf);
  }
}

TEST("no columns to add up: the epilogue of zeros; no rows: nothing") {
  for (const MatrixType product : {kHalf, kFloat}) {
    compare_epilogue({.m = 3, .k = 0, .n = 8, .product = product, .a_type = product, .b_type = product},
                     {true, false, false, false, true, false}, kFloat);
    compare({.m = 0, .k = 8, .n = 8, .product = product, .a_type = product, .b_type = product});
  }
}

TEST("the same bits twice") {
  const Case t{.m = 136, .k = 104, .n = 264, .b_transposed = true};
  Stored a = operand(t, false, t.m, t.k, kHalf, 1);
  Stored b = operand(t, true, t.k, t.n, kHalf, 2);
  Stored once = Stored::unwritten(t.m * t.n, kFloat);
  Stored twice = Stored::unwritten(t.m * t.n, kFloat);
  const There there_a(a), there_b(b);
  for (Stored* c : {&once, &twice}) {
    const There there(*c);
    dm::cuda::matmul(device(), describe(t), there_a.data(), there_b.data(), there.data());
    there.copy.fetch();
  }
  CHECK(once.floats == twice.floats);
}
