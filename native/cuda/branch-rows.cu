// SPDX-License-Identifier: Apache-2.0
#include "cuda/branch-rows.h"

#include <algorithm>

#include "cuda/branch-rows.cuh"
#include "cuda/core/launch-add-partials.cuh"

namespace dm::cuda {

namespace {

constexpr std::int64_t kFewRows = 64;            // a block is worth
constexpr std::int64_t kBlocksPerProcessor = 4;  // of sum_columns

}  // namespace

ColumnBlocks column_blocks(const Device& device, std::int64_t rows, std::int64_t columns) {
  const std::int64_t strips = std::max<std::int64_t>(1, blocks_for(columns, kSumColumns));
  const std::int64_t wanted = blocks_for(kBlocksPerProcessor * device.multiprocessors(), strips);
  // At least one, so that the sums of no rows are written.
  const std::int64_t blocks = std::clamp<std::int64_t>(blocks_for(rows, kFewRows), 1, wanted);
  return {blocks, blocks_for(rows, blocks)};
}

void round_to_bf16(Device& device, const float* x, void* y, std::int64_t count) {
  const RoundToBf16 p{.x = x,
                      .y = static_cast<bf16*>(y),
                      .count = count,
                      .whole = quads_aligned(x, 0, false) && quads_aligned(y, 0, true)};
  launch<round_elements>(
      device, {.blocks = blocks_for(blocks_for(count, 4), kRoundThreads), .threads = kRoundThreads}, p);
}

std::int64_t column_sums_scratch(const Device& device, std::int64_t rows, std::int64_t columns) {
  return column_blocks(device, rows, columns).blocks * columns *
         static_cast<std::int64_t>(sizeof(float));
}

void column_sums(Device& device, const ColumnSums& of, float* sums, void* scratch) {
  const auto [blocks, rows_per_block] = column_blocks(device, of.rows, of.columns);
  const bool x_bfloat16 = of.type == MatrixType::kBFloat16;
  const bool y_bfloat16 = of.y_type == MatrixType::kBFloat16;
  const SumColumns p{.x = of.x,
                     .factors = of.factors,
                     .y = of.y,
                     .partials = static_cast<float*>(scratch),
                     .rows = of.rows,
                     .columns = of.columns,
                     .rows_per_factor = of.rows_per_factor,
                     .rows_per_block = rows_per_block,
                     .x_bfloat16 = x_bfloat16,
                     .y_bfloat16 = y_bfloat16,
                     .whole = quads_aligned(of.x, of.columns, x_bfloat16) &&
                              quads_aligned(of.y, of.columns, y_bfloat16)};
  launch<sum_columns>(device,
                      {.blocks = blocks,
                       .blocks_y = blocks_for(of.columns, kSumColumns),
                       .threads = kSumWarps * kWarp,
                       .shared_bytes = kSumColumnsShared},
                      p);
  launch_add_partials(device, {.partials = p.partials,
                               .first = sums,
                               .second = nullptr,
                               .parts = static_cast<int>(blocks),
                               .sums = 1,
                               .width = static_cast<int>(of.columns)});
}

}  // namespace dm::cuda
