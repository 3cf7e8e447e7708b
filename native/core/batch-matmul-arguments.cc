// SPDX-License-Identifier: Apache-2.0
#include "core/batch-matmul-arguments.h"

namespace dm {

BatchMatmulArguments::BatchMatmulArguments(const OpArguments& arguments)
    : in("BatchMatMul", arguments, flag_of(arguments, 5) ? 4 : 3, 7) {
  MatmulDescription& d = product;
  d.m = in.count(0);
  d.k = in.count(1);
  d.n = in.count(2);
  const bool a_transposed = in.flag(3);
  const bool b_transposed = in.flag(4);
  const bool biased = in.flag(5);
  batches = read_broadcast(in, 6);
  a_size_ = in.elements({d.m, d.k});
  b_size_ = in.elements({d.k, d.n});
  c_size_ = in.elements({d.m, d.n});
  first_.a = in.next<const float>(in.elements({batches.a_count, a_size_}));
  first_.b = in.next<const float>(in.elements({batches.b_count, b_size_}));
  if (biased) d.epilogue.bias = in.next<const float>(d.n);
  first_.c = in.next<float>(in.elements({batches.rows, batches.row, c_size_}));
  d.batch = batches.row;
  d.a = a_transposed ? transposed(d.m) : row_major(d.k);
  d.b = b_transposed ? transposed(d.k) : row_major(d.n);
  d.c = row_major(d.n, MatrixType::kFloat32, c_size_);
  d.a.batch_step = batches.a_row * a_size_;
  d.b.batch_step = batches.b_row * b_size_;
}

BatchMatmulArguments::Operands BatchMatmulArguments::operands(std::int64_t row) const {
  const auto [a_matrix, b_matrix] = batches.offsets(row);
  return {first_.a + a_matrix * a_size_, first_.b + b_matrix * b_size_,
          first_.c + row * batches.row * c_size_};
}

}  // namespace dm
