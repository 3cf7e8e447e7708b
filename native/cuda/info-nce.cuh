// SPDX-License-Identifier: Apache-2.0
// Contrastive loss of queries against keys and its gradient (packages/core/src/ops/info-nce.ts; [MAViL §3.2]), in float32: rows to length 1,
// scores by core/products.cuh, then one warp a row of scores. Scores are cosines / temperature.
//
// B batch, C width.
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kInfoNceWarps = 4;
constexpr float kShortestRow = 1e-12f;

/// The warp's row of `rows`; negative past the last.
DM_DEVICE std::int64_t warp_row(std::int64_t rows) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kInfoNceWarps + thread_index() / kWarp;
  return row < rows ? row : -1;
}

struct UnitRows {
  const float* queries;  ///< [B, C]
  const float* keys;     ///< [B, C]
  float* unit;           ///< [2, B, C]: each row divided by its length; a row of zeros stays one
  float* inverse;        ///< [2, B]: 1 / length
  std::int64_t batch;
  int width;
};

DM_KERNEL(kInfoNceWarps* kWarp, 4)
unit_rows(UnitRows p) {
  const std::int64_t row = warp_row(2 * p.batch);
  if (row < 0) return;
  const float* x = row < p.batch ? p.queries + row * p.width : p.keys + (row - p.batch) * p.width;
  const int lane = thread_index() % kWarp;
  float squares = 0;
  for (int c = lane; c < p.width; c += kWarp) squares += x[c] * x[c];
  const float inverse = 1.0f / fmaxf(sqrtf(warp_sum(squares)), kShortestRow);
  for (int c = lane; c < p.width; c += kWarp) p.unit[row * p.width + c] = x[c] * inverse;
  if (lane == 0) p.inverse[row] = inverse;
}

/// What becomes of the scores of a query: its loss, or the gradient of its scores.
struct ScoreRows {
  float* scores;    ///< [B, B]; overwritten by the gradient of the loss to them
  float* losses;    ///< [B], or null: then the gradient is asked for
  const float* dy;  ///< [], or null
  float factor;     ///< 1 / (temperature B)
  int batch;
};

DM_KERNEL(kInfoNceWarps* kWarp, 4)
score_rows(ScoreRows p) {
  const std::int64_t row = warp_row(p.batch);
  if (row < 0) return;
  float* scores = p.scores + row * p.batch;
  const int lane = thread_index() % kWarp;
  float most = -INFINITY;
  for (int j = lane; j < p.batch; j += kWarp) most = fmaxf(most, scores[j]);
  most = warp_max(most);
  const float positive = scores[row];
  // Without the positive: near the end of training 1 - its share is nearly nothing.
  float others = 0;
  for (int j = lane; j < p.batch; j += kWarp) {
    if (j != row) others += expf(scores[j] - most);
  }
  others = warp_sum(others);
  const float sum = others + expf(positive - most);
  if (p.losses != nullptr) {
    if (lane == 0) p.losses[row] = logf(sum) + most - positive;
    return;
  }
  const float factor = *p.dy * p.factor;
  warp_sync();  // every lane has read the positive, which one of them overwrites
  for (int j = lane; j < p.batch; j += kWarp) {
    scores[j] = (j == row ? -others : expf(scores[j] - most)) / sum * factor;
  }
}

/// From gradients of unit rows to those of the rows: the part across, divided by the length.
struct AcrossRows {
  const float* d_unit;   ///< [2, B, C]
  const float* unit;     ///< [2, B, C]
  const float* inverse;  ///< [2, B]
  float* d_queries;      ///< [B, C]
  float* d_keys;         ///< [B, C]
  std::int64_t batch;
  int width;
};

DM_KERNEL(kInfoNceWarps* kWarp, 4)
across_rows(AcrossRows p) {
  const std::int64_t row = warp_row(2 * p.batch);
  if (row < 0) return;
  const float* dy = p.d_unit + row * p.width;
  const float* unit = p.unit + row * p.width;
  float* dx = row < p.batch ? p.d_queries + row * p.width : p.d_keys + (row - p.batch) * p.width;
  const int lane = thread_index() % kWarp;
  float along = 0;
  for (int c = lane; c < p.width; c += kWarp) along += dy[c] * unit[c];
  along = warp_sum(along);
  const float inverse = p.inverse[row];
  for (int c = lane; c < p.width; c += kWarp) dx[c] = inverse * (dy[c] - along * unit[c]);
}

}  // namespace dm::cuda
