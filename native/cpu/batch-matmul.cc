// SPDX-License-Identifier: Apache-2.0
// BatchMatMul of tfjs, whose batch axes broadcast, optionally with a bias on the columns.
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "cpu/families.h"
#include "cpu/matmul.h"

namespace dm::cpu {

namespace {

// buffers: a [aBatch…, m, k] (transposed: [aBatch…, k, m]), b [bBatch…, k, n] (transposed:
// [bBatch…, n, k]), bias [n] if biased, c [batch…, m, n]. numbers: [m, k, n, transposeA,
// transposeB, biased, rank, aBatch… (rank), bBatch… (rank)], batch shapes padded with ones to a
// common rank <= 8.
Status batch_matmul(const OpArguments& arguments) {
  const bool biased = arguments.number_count > 5 && arguments.numbers[5] != 0;
  Arguments in("BatchMatMul", arguments, biased ? 4 : 3, 7);
  MatmulDescription d;
  d.m = in.count(0);
  d.k = in.count(1);
  d.n = in.count(2);
  const bool a_transposed = in.flag(3);
  const bool b_transposed = in.flag(4);
  const Broadcast plan = read_broadcast(in, 6);
  const std::int64_t a_size = in.elements({d.m, d.k});
  const std::int64_t b_size = in.elements({d.k, d.n});
  const std::int64_t c_size = in.elements({d.m, d.n});
  const float* a = in.buffer<const float>(0, in.elements({plan.a_count, a_size}));
  const float* b = in.buffer<const float>(1, in.elements({plan.b_count, b_size}));
  if (biased) d.epilogue.bias = in.buffer<const float>(2, d.n);
  const std::size_t out = biased ? 3 : 2;
  float* c = in.buffer<float>(out, in.elements({plan.rows, plan.row, c_size}));
  if (!in.ok()) return in.status();
  constexpr MatrixType kType = MatrixType::kFloat32;
  d.batch = plan.row;
  d.a = a_transposed ? transposed(d.m, kType) : row_major(d.k, kType);
  d.b = b_transposed ? transposed(d.k, kType) : row_major(d.n, kType);
  d.c = row_major(d.n, kType, c_size);
  d.a.batch_step = plan.a_row * a_size;
  d.b.batch_step = plan.b_row * b_size;
  for (std::int64_t row = 0; row < plan.rows; ++row) {
    const auto [a_matrix, b_matrix] = plan.offsets(row);
    const Status status =
        matmul(d, a + a_matrix * a_size, b + b_matrix * b_size, c + row * plan.row * c_size);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

void register_batch_matmul(OpTable& table) { table.add("BatchMatMul", batch_matmul); }

}  // namespace dm::cpu
