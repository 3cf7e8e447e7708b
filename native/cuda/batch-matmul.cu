// SPDX-License-Identifier: Apache-2.0
// Matrix products whose batch axes broadcast, on a device.
#include <cstdint>

#include "core/batch-matmul-arguments.h"
#include "cuda/families.h"
#include "cuda/matmul.h"

namespace dm::cuda {

namespace {

Status batch_matmul(Device& device, const OpArguments& arguments) {
  const BatchMatmulArguments given(arguments);
  if (!given.in.ok()) return given.in.status();
  for (std::int64_t row = 0; row < given.batches.rows; ++row) {
    const auto [a, b, c] = given.operands(row);
    matmul(device, given.product, a, b, c);
  }
  return {};
}

}  // namespace

void register_batch_matmul(DeviceOpTable& table) { table.add("BatchMatMul", batch_matmul); }

}  // namespace dm::cuda
