// SPDX-License-Identifier: Apache-2.0
// Batched products on the device against float64.
#include <algorithm>
#include <cstddef>
#include <vector>

#include "block-reference.h"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::draw;
using dm::test::Floats32;
using dm::test::Reals;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

struct Product {
  std::vector<std::size_t> a_batch, b_batch;  ///< of one rank
  std::size_t m, k, n;
  bool a_transposed, b_transposed, biased;
};

std::size_t count_of(const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (const std::size_t size : shape) count *= size;
  return count;
}

/// The matrix of an operand that belongs to matrix `index` of the result.
std::size_t matrix_of(std::size_t index, const std::vector<std::size_t>& shape,
                      const std::vector<std::size_t>& other) {
  std::size_t matrix = 0;
  std::size_t step = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    const std::size_t size = shape[axis] == 1 ? other[axis] : shape[axis];
    if (shape[axis] != 1) matrix += index % size * step;
    index /= size;
    step *= shape[axis];
  }
  return matrix;
}

void check_product(const Product& t) {
  std::size_t batch = 1;
  for (std::size_t i = 0; i < t.a_batch.size(); ++i) batch *= std::max(t.a_batch[i], t.b_batch[i]);
  Floats32 a = draw(count_of(t.a_batch) * t.m * t.k, 1);
  Floats32 b = draw(count_of(t.b_batch) * t.k * t.n, 2);
  Floats32 bias = draw(t.n, 3);
  Floats32 c = unwritten(batch * t.m * t.n);
  Reals expected(c.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::size_t row = i / t.n % t.m;
    const std::size_t column = i % t.n;
    const std::size_t matrix = i / t.n / t.m;
    const float* left = a.data() + matrix_of(matrix, t.a_batch, t.b_batch) * t.m * t.k;
    const float* right = b.data() + matrix_of(matrix, t.b_batch, t.a_batch) * t.k * t.n;
    double sum = t.biased ? bias[column] : 0;
    for (std::size_t l = 0; l < t.k; ++l) {
      sum += static_cast<double>(left[t.a_transposed ? l * t.m + row : row * t.k + l]) *
             static_cast<double>(right[t.b_transposed ? column * t.k + l : l * t.n + column]);
    }
    expected[i] = sum;
  }
  std::vector<double> numbers{static_cast<double>(t.m),    static_cast<double>(t.k),
                              static_cast<double>(t.n),    t.a_transposed ? 1.0 : 0.0,
                              t.b_transposed ? 1.0 : 0.0,  t.biased ? 1.0 : 0.0,
                              static_cast<double>(t.a_batch.size())};
  for (const auto& shape : {t.a_batch, t.b_batch}) {
    for (const std::size_t size : shape) numbers.push_back(static_cast<double>(size));
  }
  std::vector<dm::Buffer> buffers{buffer_of(a), buffer_of(b)};
  if (t.biased) buffers.push_back(buffer_of(bias));
  buffers.push_back(buffer_of(c));
  CHECK_EQUAL(run_device_op("BatchMatMul", buffers, numbers), "");
  CHECK_ERROR(relative_error(c, expected), 1e-6);
}

}  // namespace

TEST("batched products, transposed or not, with axes that broadcast") {
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      check_product({{3}, {3}, 5, 7, 9, a_transposed, b_transposed, true});
      check_product({{2, 1, 3}, {1, 4, 1}, 4, 5, 6, a_transposed, b_transposed, false});
      check_product({{}, {}, 33, 16, 20, a_transposed, b_transposed, true});
      check_product({{1}, {4}, 8, 8, 8, a_transposed, b_transposed, false});
    }
  }
}

TEST("says which shapes do not broadcast") {
  Floats32 values(64);
  CHECK_EQUAL(run_device_op("BatchMatMul", {buffer_of(values), buffer_of(values), buffer_of(values)},
                            {2, 2, 2, 0, 0, 0, 1, 2, 3}),
              "BatchMatMul: expected shapes that broadcast, got 2 against 3");
}
