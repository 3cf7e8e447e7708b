// SPDX-License-Identifier: Apache-2.0
// Matrix products whose batch axes broadcast.
#include <cstdint>

#include "core/batch-matmul-arguments.h"
#include "cpu/families.h"
#include "cpu/matmul.h"

namespace dm::cpu {

namespace {

Status batch_matmul(const OpArguments& arguments) {
  const BatchMatmulArguments given(arguments);
  if (!given.in.ok()) return given.in.status();
  for (std::int64_t row = 0; row < given.batches.rows; ++row) {
    const auto [a, b, c] = given.operands(row);
    const Status status = matmul(given.product, a, b, c);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

void register_batch_matmul(OpTable& table) { table.add("BatchMatMul", batch_matmul); }

}  // namespace dm::cpu
