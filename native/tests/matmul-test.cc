// SPDX-License-Identifier: Apache-2.0
// Products against sums in float64.
#include "cpu/matmul.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"
#include "core/thread-pool.h"

using namespace dm;
using namespace dm::cpu;

namespace {

using Int = std::int64_t;

/// A fixed sequence in [-1, 1).
struct Sequence {
  std::uint32_t state;
  float next() {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
  }
};

std::uint16_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float value_of(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

/// Values in a layout, with everything in between filled with a number that would show.
struct Matrix {
  Matrix(Int batch, Int rows, Int columns, MatrixLayout where, std::uint32_t seed) : layout(where) {
    const Int matrices = layout.batch_step == 0 ? 1 : batch;
    const Int size = (matrices - 1) * layout.batch_step + (rows - 1) * layout.row_step +
                     (columns - 1) * layout.column_step + 1;
    floats.assign(static_cast<std::size_t>(size > 0 ? size : 0), 1e30f);
    Sequence sequence{seed};
    for (Int i = 0; i < matrices; ++i)
      for (Int row = 0; row < rows; ++row)
        for (Int column = 0; column < columns; ++column) {
          float& value = floats[place(i, row, column)];
          value = sequence.next();
          if (layout.type == MatrixType::kBFloat16) value = value_of(bits_of(value));
        }
    for (const float value : floats) halves.push_back(bits_of(value));
  }

  std::size_t place(Int i, Int row, Int column) const {
    return static_cast<std::size_t>(i * layout.batch_step + row * layout.row_step +
                                    column * layout.column_step);
  }
  /// As it is stored.
  double at(Int i, Int row, Int column) const {
    const std::size_t index = place(i, row, column);
    return layout.type == MatrixType::kFloat32 ? floats[index] : value_of(halves[index]);
  }
  void* data() {
    return layout.type == MatrixType::kFloat32 ? static_cast<void*>(floats.data()) : halves.data();
  }

  MatrixLayout layout;
  std::vector<float> floats;
  std::vector<std::uint16_t> halves;
};

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_slope(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0)) +
         x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::acos(-1.0));
}

struct Extras {
  bool bias = false, residual = false, row_scale = false, accumulate = false;
  MatmulActivation activation = MatmulActivation::kNone;
  MatrixType product = MatrixType::kFloat32, preactivation = MatrixType::kFloat32;
};

std::string describe(const MatmulDescription& d) {
  std::ostringstream text;
  text << "[" << d.batch << ", " << d.m << ", " << d.k << ", " << d.n << "] steps " << d.a.row_step
       << "," << d.a.column_step << " " << d.b.row_step << "," << d.b.column_step;
  return text.str();
}

/// Runs a product and compares every element; the error of sums of k products of numbers in [-1, 1]
/// is at most k * 6e-8 * sqrt(k) in practice; bfloat16 operands that are float32 in memory lose
/// 2^-9 of each factor.
void check(MatmulDescription d, const Extras& extras) {
  Matrix a(d.batch, d.m, d.k, d.a, 1);
  Matrix b(d.batch, d.k, d.n, d.b, 2);
  Matrix c(d.batch, d.m, d.n, d.c, 3);
  const Matrix before = c;
  const auto elements = static_cast<std::size_t>(d.batch * d.m * d.n);
  const auto row_count = static_cast<std::size_t>(d.batch * d.m);
  Sequence sequence{4};
  std::vector<float> bias(static_cast<std::size_t>(d.n)), residual(elements);
  std::vector<float> row_scale(row_count / 3 + 1), pre(elements);
  std::vector<std::uint16_t> pre_halves(elements);
  for (auto* values : {&bias, &residual, &row_scale, &pre})
    for (float& value : *values) value = 2 * sequence.next();
  for (std::size_t i = 0; i < elements; ++i) pre_halves[i] = bits_of(pre[i]);
  const bool half_pre = extras.preactivation == MatrixType::kBFloat16;

  d.product = extras.product;
  d.accumulate = extras.accumulate;
  if (extras.bias) d.epilogue.bias = bias.data();
  if (extras.residual) d.epilogue.residual = residual.data();
  if (extras.row_scale) d.epilogue.row_scale = row_scale.data();
  d.epilogue.rows_per_scale = 3;
  d.epilogue.activation = extras.activation;
  d.epilogue.preactivation = half_pre ? static_cast<void*>(pre_halves.data()) : pre.data();
  d.epilogue.preactivation_type = extras.preactivation;
  const std::vector<float> old_pre = pre;
  const dm::Status status = matmul(d, a.data(), b.data(), c.data());
  CHECK_EQUAL(status.message(), "");

  const bool rounds = extras.product == MatrixType::kBFloat16 && has_bfloat16();
  const bool exact_inputs = d.a.type == MatrixType::kBFloat16 && d.b.type == MatrixType::kBFloat16;
  const double root = std::sqrt(static_cast<double>(d.k) + 1);
  const double tolerance =
      (rounds && !exact_inputs ? 8e-3 : 4e-7 * root) * root + 2e-6;
  Int wrong = 0;
  for (Int i = 0; i < d.batch; ++i)
    for (Int row = 0; row < d.m; ++row)
      for (Int column = 0; column < d.n; ++column) {
        const Int flat_row = i * d.m + row;
        const auto flat = static_cast<std::size_t>(flat_row * d.n + column);
        double value = 0;
        for (Int j = 0; j < d.k; ++j) value += a.at(i, row, j) * b.at(i, j, column);
        if (extras.bias) value += bias[static_cast<std::size_t>(column)];
        if (extras.activation == MatmulActivation::kGelu) {
          const double saved = half_pre ? value_of(pre_halves[flat]) : pre[flat];
          if (!(std::fabs(saved - value) <= tolerance + (half_pre ? std::fabs(value) / 256 : 0)))
            ++wrong;
          value = gelu(value);
        } else if (extras.activation == MatmulActivation::kGeluSlope) {
          value *= gelu_slope(half_pre ? value_of(pre_halves[flat]) : old_pre[flat]);
        }
        if (extras.row_scale) value *= row_scale[static_cast<std::size_t>(flat_row / 3)];
        if (extras.residual) value += residual[flat];
        if (extras.accumulate) value += before.at(i, row, column);
        const double limit =
            2 * tolerance + (d.c.type == MatrixType::kBFloat16 ? std::fabs(value) / 256 : 0);
        if (!(std::fabs(c.at(i, row, column) - value) <= limit)) ++wrong;
      }
  if (wrong != 0) {
    dm::test::report(__FILE__, __LINE__,
                     describe(d) + ": " + std::to_string(wrong) + " elements wrong");
  }
  // Nothing in between was written.
  std::vector<bool> inside(c.floats.size());
  for (Int i = 0; i < d.batch; ++i)
    for (Int row = 0; row < d.m; ++row)
      for (Int column = 0; column < d.n; ++column) inside[c.place(i, row, column)] = true;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    if (inside[i]) continue;
    CHECK(d.c.type == MatrixType::kFloat32 ? c.floats[i] == before.floats[i]
                                           : c.halves[i] == before.halves[i]);
  }
}

MatmulDescription sizes(Int m, Int k, Int n, bool a_transposed = false, bool b_transposed = false,
                        MatrixType type = MatrixType::kFloat32) {
  MatmulDescription d;
  d.m = m;
  d.k = k;
  d.n = n;
  d.a = a_transposed ? transposed(m, type) : row_major(k, type);
  d.b = b_transposed ? transposed(k, type) : row_major(n, type);
  d.c = row_major(n);
  return d;
}

constexpr MatrixType kHalf = MatrixType::kBFloat16;

}  // namespace

TEST("multiplies odd sizes in all transposes and types") {
  for (const Int m : {1, 17, 127})
    for (const Int k : {1, 63, 130})
      for (const Int n : {1, 3, 65})
        for (const int flags : {0, 1, 2, 3})
          for (const MatrixType type : {MatrixType::kFloat32, kHalf})
            check(sizes(m, k, n, (flags & 1) != 0, (flags & 2) != 0, type), {.product = type});
}

TEST("multiplies sizes of several tiles") {
  for (const int flags : {0, 1, 2, 3})
    for (const MatrixType type : {MatrixType::kFloat32, kHalf}) {
      check(sizes(301, 190, 520, (flags & 1) != 0, (flags & 2) != 0, type), {.product = type});
    }
  check(sizes(1100, 63, 330, true, true), {});
  check(sizes(1100, 63, 330, true, true), {.product = kHalf});
  check(sizes(1100, 63, 330, true, true, kHalf), {.product = kHalf});
  // Several ranges of rows, and blocks of k whose sums wait for what follows.
  check(sizes(1100, 1100, 70, false, true), {.bias = true, .residual = true});
  check(sizes(1100, 2100, 70, true, false), {.bias = true, .product = kHalf});
  check(sizes(1, 768, 600, false, true), {});
  check(sizes(1, 768, 600, false, true), {.product = kHalf});
}

TEST("steps over what lies between the elements") {
  MatmulDescription d = sizes(37, 29, 41);
  d.a.row_step = 50;
  d.b.row_step = 44;
  d.c.row_step = 60;
  check(d, {});
  check(d, {.bias = true, .residual = true});
  d.a = {MatrixType::kFloat32, 100, 3, 0};
  d.b = {kHalf, 2, 90, 0};
  check(d, {});
  check(d, {.product = kHalf});
}

TEST("adds a bias, a residual, and to what is there") {
  for (const MatrixType type : {MatrixType::kFloat32, kHalf})
    for (const Int m : {5, 290}) {
      const MatmulDescription d = sizes(m, 70, 140, false, true);
      check(d, {.bias = true, .product = type});
      check(d, {.accumulate = true, .product = type});
      check(d, {.bias = true, .accumulate = true, .product = type});
      check(d, {.residual = true, .product = type});
      check(d, {.bias = true, .residual = true, .row_scale = true, .product = type});
      check(d, {.bias = true, .residual = true, .accumulate = true, .product = type});
    }
}

TEST("applies gelu and its slope, keeping or reading the preactivation") {
  for (const MatrixType type : {MatrixType::kFloat32, kHalf})
    for (const MatrixType pre : {MatrixType::kFloat32, kHalf})
      for (const MatrixType c : {MatrixType::kFloat32, kHalf}) {
        MatmulDescription d = sizes(150, 33, 270, false, true);
        d.c.type = c;
        check(d, {.bias = true,
                  .activation = MatmulActivation::kGelu,
                  .product = type,
                  .preactivation = pre});
        check(d,
              {.activation = MatmulActivation::kGeluSlope, .product = type, .preactivation = pre});
      }
}

TEST("stores bfloat16 with and without what follows a product") {
  for (const MatrixType type : {MatrixType::kFloat32, kHalf}) {
    MatmulDescription d = sizes(65, 127, 63, false, true, type);
    d.c.type = kHalf;
    check(d, {.product = type});
    check(d, {.bias = true, .product = type});
  }
}

TEST("multiplies batches in every arrangement") {
  for (const MatrixType type : {MatrixType::kFloat32, kHalf})
    for (const int flags : {0, 1, 2, 3}) {
      MatmulDescription d = sizes(13, 24, 37, (flags & 1) != 0, (flags & 2) != 0, type);
      d.batch = 7;
      d.c.batch_step = 13 * 37;
      d.a.batch_step = 13 * 24;
      d.b.batch_step = 24 * 37;
      check(d, {.product = type});
      check(d, {.bias = true, .residual = true, .product = type});
      check(d, {.accumulate = true, .product = type});
      d.b.batch_step = 0;
      check(d, {.product = type});
      d.b.batch_step = 24 * 37;
      d.a.batch_step = 0;
      check(d, {.product = type});
      d.b.batch_step = 0;
      check(d, {.product = type});
    }
  // Heads side by side, as attention has them: [batch, tokens, heads, width].
  MatmulDescription d = sizes(39, 32, 39, false, true);
  d.batch = 4;
  d.a = {MatrixType::kFloat32, 4 * 32, 1, 32};
  d.b = {MatrixType::kFloat32, 1, 4 * 32, 32};
  d.c.batch_step = 39 * 39;
  check(d, {});
  MatmulDescription large = sizes(130, 140, 150);
  large.batch = 3;
  large.a.batch_step = 130 * 140;
  large.b.batch_step = 140 * 150;
  large.c.batch_step = 130 * 150;
  check(large, {});
  check(large, {.product = kHalf});
}

TEST("multiplies nothing") {
  check(sizes(3, 0, 5), {});
  check(sizes(3, 0, 5), {.bias = true, .residual = true});
  check(sizes(3, 0, 5), {.accumulate = true});
  check(sizes(0, 4, 5), {});
  check(sizes(3, 4, 0), {});
}

TEST("gives the same bits for any number of threads") {
  for (const MatrixType type : {MatrixType::kFloat32, kHalf})
    for (const auto& [m, k, n] : std::vector<std::array<Int, 3>>{
             {204, 768, 520}, {1500, 130, 70}, {70, 3000, 130}, {1, 4000, 300}}) {
      MatmulDescription d = sizes(m, k, n, m == 1500, m != 1500);
      d.product = type;
      const int before = dm::threads();
      std::vector<std::vector<float>> results;
      for (const int count : {1, 2, 4}) {
        dm::set_threads(count);
        Matrix a(1, m, k, d.a, 1);
        Matrix b(1, k, n, d.b, 2);
        results.emplace_back(static_cast<std::size_t>(m * n));
        CHECK(matmul(d, a.data(), b.data(), results.back().data()).ok());
        std::vector<float> sums(static_cast<std::size_t>(n));
        column_sums(results.back().data(), MatrixType::kFloat32, m, n, sums.data());
        results.back().insert(results.back().end(), sums.begin(), sums.end());
      }
      dm::set_threads(before);
      CHECK(results[0] == results[1]);
      CHECK(results[0] == results[2]);
    }
}

TEST("sums columns") {
  for (const auto& [rows, columns] :
       std::vector<std::array<Int, 2>>{{1, 1}, {129, 200}, {1000, 3}, {0, 4}}) {
    Matrix x(1, rows, columns, row_major(columns, kHalf), 9);
    for (const MatrixType type : {MatrixType::kFloat32, kHalf}) {
      std::vector<float> sums(static_cast<std::size_t>(columns), 7.0f);
      column_sums(type == kHalf ? static_cast<void*>(x.halves.data()) : x.floats.data(), type, rows,
                  columns, sums.data());
      for (Int j = 0; j < columns; ++j) {
        double expected = 0;
        for (Int i = 0; i < rows; ++i) expected += x.at(0, i, j);
        CHECK(std::fabs(sums[static_cast<std::size_t>(j)] - expected) <= 1e-4);
      }
    }
  }
}

TEST("refuses what it cannot do") {
  float x = 0;
  MatmulDescription d = sizes(1, 1, 1);
  d.c.type = kHalf;
  d.accumulate = true;
  CHECK_EQUAL(matmul(d, &x, &x, &x).message(),
              "matmul: expected float32 to accumulate in, got another");
  d = sizes(1, 1, 1);
  d.epilogue.activation = MatmulActivation::kGeluSlope;
  CHECK_EQUAL(matmul(d, &x, &x, &x).message(),
              "matmul: expected a preactivation for the slope of gelu, got another");
}
