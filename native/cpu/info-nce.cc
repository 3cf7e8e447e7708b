// SPDX-License-Identifier: Apache-2.0
// Contrastive loss of queries against keys: packages/core/src/ops/info-nce.ts.
//
// B batch, C width. Scores are cosines / temperature.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/binary.h"
#include "cpu/simd/info-nce.h"

namespace dm::cpu {

namespace {

constexpr float kShortest = 1e-12f;

struct Task {
  std::int64_t batch, width;
  float scale;  ///< 1 / temperature
  const InfoNceKernels& kernels = DM_PICK(kInfoNce);
};

/// Rows divided by their lengths; a row of zeros stays one.
struct UnitRows {
  std::vector<float> values;   ///< [B, C]
  std::vector<float> inverse;  ///< 1 / length, [B]

  UnitRows(const Task& task, const float* x)
      : values(static_cast<std::size_t>(task.batch * task.width)),
        inverse(static_cast<std::size_t>(task.batch)) {
    const auto multiply = DM_PICK(kBinary).floats.multiply;
    parallel_for(task.batch, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* from = x + i * task.width;
        float& factor = inverse[static_cast<std::size_t>(i)];
        factor = 1.0f / std::max(std::sqrt(task.kernels.dot(from, from, task.width)), kShortest);
        multiply(from, 1, &factor, 0, row(task, i), task.width);
      }
    });
  }

  float* row(const Task& task, std::int64_t i) { return values.data() + i * task.width; }
  const float* row(const Task& task, std::int64_t i) const {
    return values.data() + i * task.width;
  }
};

/// Scores of query i in `scores` become e^(score - max); returns their sum, and max and the score of key i.
struct Row {
  float sum, most, positive;
};

Row exp_row(const Task& task, const UnitRows& q, const UnitRows& k, std::int64_t i, float* scores) {
  task.kernels.dots(q.row(task, i), k.values.data(), task.batch, task.width, task.scale, scores);
  const float positive = scores[i];
  const float most = *std::max_element(scores, scores + task.batch);
  return {task.kernels.exp_sum(scores, most, scores, task.batch), most, positive};
}

// buffers: queries [B, C], keys [B, C], loss []. numbers: [B, C, temperature].
Status loss(const OpArguments& arguments) {
  Arguments in("DmInfoNce", arguments, 3, 3);
  const Task task{
      .batch = in.count(0), .width = in.count(1), .scale = static_cast<float>(1 / in.number(2))};
  const float* queries = in.buffer<float>(0, in.product(0, 2));
  const float* keys = in.buffer<float>(1, in.product(0, 2));
  float* result = in.buffer<float>(2, 1);
  if (!in.ok()) return in.status();
  const UnitRows q(task, queries);
  const UnitRows k(task, keys);
  std::vector<float> losses(static_cast<std::size_t>(task.batch));
  parallel_for(task.batch, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scores(static_cast<std::size_t>(task.batch));
    for (std::int64_t i = begin; i < end; ++i) {
      const Row row = exp_row(task, q, k, i, scores.data());
      losses[static_cast<std::size_t>(i)] = std::log(row.sum) + row.most - row.positive;
    }
  });
  double sum = 0;
  for (const float value : losses) sum += static_cast<double>(value);
  *result = static_cast<float>(sum / static_cast<double>(task.batch));
  return {};
}

/// Gradient of the given rows from that of the unit rows: the part across them, divided by their length.
void unit_grad(const Task& task, const UnitRows& unit, std::int64_t i, const float* dy, float* dx) {
  const float* row = unit.row(task, i);
  const float along = task.kernels.dot(dy, row, task.width);
  task.kernels.across(dy, row, along, unit.inverse[static_cast<std::size_t>(i)], dx, task.width);
}

// buffers: dy [], queries [B, C], keys [B, C], dQueries [B, C], dKeys [B, C]. numbers: [B, C, temperature].
Status loss_grad(const OpArguments& arguments) {
  Arguments in("DmInfoNceGrad", arguments, 5, 3);
  const Task task{
      .batch = in.count(0), .width = in.count(1), .scale = static_cast<float>(1 / in.number(2))};
  const std::int64_t count = in.product(0, 2);
  const float* dy = in.buffer<float>(0, 1);
  const float* queries = in.buffer<float>(1, count);
  const float* keys = in.buffer<float>(2, count);
  float* d_queries = in.buffer<float>(3, count);
  float* d_keys = in.buffer<float>(4, count);
  if (!in.ok()) return in.status();
  const UnitRows q(task, queries);
  const UnitRows k(task, keys);
  const std::int64_t batch = task.batch;
  const std::int64_t width = task.width;
  std::vector<float> scores(static_cast<std::size_t>(in.elements({batch, batch})));
  const float factor = *dy * task.scale / static_cast<float>(batch);
  const auto multiply = DM_PICK(kBinary).floats.multiply;
  parallel_for(batch, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> d_unit(static_cast<std::size_t>(width));
    for (std::int64_t i = begin; i < end; ++i) {
      float* row = scores.data() + i * batch;
      const float scale = 1.0f / exp_row(task, q, k, i, row).sum;
      multiply(row, 1, &scale, 0, row, batch);
      row[i] -= 1.0f;
      multiply(row, 1, &factor, 0, row, batch);
      task.kernels.mixture(row, 1, k.values.data(), batch, width, d_unit.data());
      unit_grad(task, q, i, d_unit.data(), d_queries + i * width);
    }
  });
  parallel_for(batch, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> d_unit(static_cast<std::size_t>(width));
    for (std::int64_t j = begin; j < end; ++j) {
      task.kernels.mixture(scores.data() + j, batch, q.values.data(), batch, width, d_unit.data());
      unit_grad(task, k, j, d_unit.data(), d_keys + j * width);
    }
  });
  return {};
}

}  // namespace

void register_info_nce(OpTable& table) {
  table.add("DmInfoNce", loss);
  table.add("DmInfoNceGrad", loss_grad);
}

}  // namespace dm::cpu
