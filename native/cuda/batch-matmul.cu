// SPDX-License-Identifier: Apache-2.0
// BatchMatMul of tfjs, whose batch axes broadcast, on a device: buffers and numbers as in cpu/batch-matmul.cc.
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "cuda/families.h"
#include "cuda/matmul.h"

namespace dm::cuda {

namespace {

// buffers: a [aBatch…, m, k] (transposed: [aBatch…, k, m]), b [bBatch…, k, n] (transposed: [bBatch…, n, k]), bias [n] if biased, c
// [batch…, m, n]. numbers: [m, k, n, transposeA, transposeB, biased, rank, aBatch… (rank), bBatch… (rank)], batch shapes padded with
// ones to a common rank <= 8. Always float32.
Status batch_matmul(Device& device, const OpArguments& arguments) {
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
  float* c = in.buffer<float>(biased ? 3 : 2, in.elements({plan.rows, plan.row, c_size}));
  if (!in.ok()) return in.status();
  d.batch = plan.row;
  d.a = a_transposed ? transposed(d.m) : row_major(d.k);
  d.b = b_transposed ? transposed(d.k) : row_major(d.n);
  d.c = row_major(d.n, MatrixType::kFloat32, c_size);
  d.a.batch_step = plan.a_row * a_size;
  d.b.batch_step = plan.b_row * b_size;
  for (std::int64_t row = 0; row < plan.rows; ++row) {
    const auto [a_matrix, b_matrix] = plan.offsets(row);
    matmul(device, d, a + a_matrix * a_size, b + b_matrix * b_size, c + row * plan.row * c_size);
  }
  return {};
}

}  // namespace

void register_batch_matmul(DeviceOpTable& table) { table.add("BatchMatMul", batch_matmul); }

}  // namespace dm::cuda
