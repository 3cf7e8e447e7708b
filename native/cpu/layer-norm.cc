// SPDX-License-Identifier: Apache-2.0
// Layer normalization over the last axis: packages/core/src/ops/layer-norm.ts.
//
// R rows, C width.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/layer-norm.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;    // elements a chunk
constexpr std::int64_t kMostPartials = 64;  // sums of rows for the gradients of weight and bias
constexpr std::int64_t kColumns = 256;    // columns a chunk when these are added up

std::int64_t rows_per_chunk(std::int64_t width) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, width));
}

// buffers: x [R, C], weight [C], bias [C], y [R, C], mean [R], rstd [R]. numbers: [R, C, epsilon].
Status forward(const OpArguments& arguments) {
  Arguments in("DmLayerNorm", arguments, 6, 3);
  const std::int64_t rows = in.count(0);
  const std::int64_t width = in.count(1);
  const float* x = in.buffer<float>(0, in.product(0, 2));
  const float* weight = in.buffer<float>(1, width);
  const float* bias = in.buffer<float>(2, width);
  float* y = in.buffer<float>(3, in.product(0, 2));
  float* mean = in.buffer<float>(4, rows);
  float* rstd = in.buffer<float>(5, rows);
  const auto epsilon = static_cast<float>(in.number(2));
  if (!in.ok()) return in.status();
  const auto row_kernel = DM_PICK(kLayerNorm).forward;
  parallel_for(rows, rows_per_chunk(width), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      row_kernel(x + row * width, weight, bias, epsilon, width, y + row * width, mean + row,
                 rstd + row);
    }
  });
  return {};
}

/// out[i] = sum over chunks of partials[chunk, offset + i], in order.
void add_partials(const std::vector<float>& partials, std::int64_t chunks, std::int64_t width,
                  std::int64_t offset, float* out) {
  parallel_for(width, kColumns, [&, out](std::int64_t begin, std::int64_t end) {
    std::fill(out + begin, out + end, 0.0f);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* partial = partials.data() + chunk * 2 * width + offset;
      for (std::int64_t i = begin; i < end; ++i) out[i] += partial[i];
    }
  });
}

// buffers: dy [R, C], x [R, C], weight [C], mean [R], rstd [R], dx [R, C], dWeight [C], dBias [C]. numbers: [R, C].
Status backward(const OpArguments& arguments) {
  Arguments in("DmLayerNormGrad", arguments, 8, 2);
  const std::int64_t rows = in.count(0);
  const std::int64_t width = in.count(1);
  const std::int64_t all = in.product(0, 2);
  const float* dy = in.buffer<float>(0, all);
  const float* x = in.buffer<float>(1, all);
  const float* weight = in.buffer<float>(2, width);
  const float* mean = in.buffer<float>(3, rows);
  const float* rstd = in.buffer<float>(4, rows);
  float* dx = in.buffer<float>(5, all);
  float* d_weight = in.buffer<float>(6, width);
  float* d_bias = in.buffer<float>(7, width);
  if (!in.ok()) return in.status();
  const auto row_kernel = DM_PICK(kLayerNorm).backward;
  // Depends on the shape alone, so that the sums do not depend on the threads.
  const std::int64_t grain = std::max(rows_per_chunk(width), chunk_count(rows, kMostPartials));
  const std::int64_t chunks = chunk_count(rows, grain);
  std::vector<float> partials(static_cast<std::size_t>(in.elements({chunks, 2, width})));
  parallel_for(rows, grain, [=, &partials](std::int64_t begin, std::int64_t end) {
    float* sums = partials.data() + begin / grain * 2 * width;
    for (std::int64_t row = begin; row < end; ++row) {
      row_kernel(dy + row * width, x + row * width, weight, mean[row], rstd[row], width,
                 dx + row * width, sums, sums + width);
    }
  });
  add_partials(partials, chunks, width, 0, d_weight);
  add_partials(partials, chunks, width, width, d_bias);
  return {};
}

}  // namespace

void register_layer_norm(OpTable& table) {
  table.add("DmLayerNorm", forward);
  table.add("DmLayerNormGrad", backward);
}

}  // namespace dm::cpu
