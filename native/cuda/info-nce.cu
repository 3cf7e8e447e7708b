// SPDX-License-Identifier: Apache-2.0
// DmInfoNce and DmInfoNceGrad on a device: buffers and numbers as in cpu/info-nce.cc.
#include "cuda/info-nce.cuh"

#include <string>

#include "core/arguments.h"
#include "cuda/core/launch.cuh"
#include "cuda/core/mean.cuh"
#include "cuda/core/products.cuh"
#include "cuda/core/scratch-plan.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

constexpr int kThreads = kInfoNceWarps * kWarp;

/// Scratch of both ops, in pieces: floats.
struct Work {
  std::int64_t batch, width;
  bool taken;
  float* unit = nullptr;     ///< [2, B, C]
  float* inverse = nullptr;  ///< [2, B]
  float* scores = nullptr;   ///< [B, B]
  float* last = nullptr;     ///< losses [B], or gradients of the unit rows [2, B, C]

  Work(Device& device, std::int64_t rows, std::int64_t columns, std::int64_t last_count)
      : batch(rows), width(columns) {
    constexpr std::int64_t kFloat = sizeof(float);
    ScratchPlan plan;
    const std::size_t first = plan.add(2 * batch * width * kFloat);
    const std::size_t second = plan.add(2 * batch * kFloat);
    const std::size_t third = plan.add(batch * batch * kFloat);
    const std::size_t fourth = plan.add(last_count * kFloat);
    taken = plan.take(device);
    if (!taken) return;
    unit = static_cast<float*>(plan.at(first));
    inverse = static_cast<float*>(plan.at(second));
    scores = static_cast<float*>(plan.at(third));
    last = static_cast<float*>(plan.at(fourth));
  }

  const float* unit_keys() const { return unit + batch * width; }
};

void launch_products(Device& device, const Products& p) {
  launch<products>(device,
                   {.blocks = blocks_for(p.columns, kProductTile),
                    .blocks_y = blocks_for(p.rows, kProductTile),
                    .threads = kProductThreads,
                    .shared_bytes = kProductShared},
                   p);
}

/// Unit rows of both, and their scores.
void launch_scores(Device& device, const Work& work, const float* queries, const float* keys,
                   float scale) {
  const UnitRows rows{.queries = queries,
                      .keys = keys,
                      .unit = work.unit,
                      .inverse = work.inverse,
                      .batch = work.batch,
                      .width = static_cast<int>(work.width)};
  launch<unit_rows>(
      device, {.blocks = blocks_for(2 * work.batch, kInfoNceWarps), .threads = kThreads}, rows);
  launch_products(device, {.a = work.unit,
                           .b = work.unit_keys(),
                           .out = work.scores,
                           .a_row = work.width,
                           .a_step = 1,
                           .b_row = work.width,
                           .b_step = 1,
                           .rows = static_cast<int>(work.batch),
                           .columns = static_cast<int>(work.batch),
                           .terms = static_cast<int>(work.width),
                           .scale = scale});
}

/// Records a fault unless batch and width are numbers of int.
void check_sizes(Arguments& in) {
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    if (in.count(i) > INT32_MAX) in.fail("sizes below 2^31", std::to_string(in.count(i)));
  }
}

// buffers: queries [B, C], keys [B, C], loss []. numbers: [B, C, temperature].
Status loss(Device& device, const OpArguments& arguments) {
  Arguments in("DmInfoNce", arguments, 3, 3);
  check_sizes(in);
  const std::int64_t batch = in.count(0);
  const float scale = static_cast<float>(1 / in.number(2));
  const float* queries = in.buffer<float>(0, in.product(0, 2));
  const float* keys = in.buffer<float>(1, in.product(0, 2));
  float* result = in.buffer<float>(2, 1);
  if (!in.ok()) return in.status();
  const Work work(device, batch, in.count(1), batch);
  if (!work.taken) return {};
  launch_scores(device, work, queries, keys, scale);
  const ScoreRows rows{.scores = work.scores,
                       .losses = work.last,
                       .dy = nullptr,
                       .factor = 0,
                       .batch = static_cast<int>(batch)};
  launch<score_rows>(device, {.blocks = blocks_for(batch, kInfoNceWarps), .threads = kThreads},
                     rows);
  const Mean mean{.x = work.last,
                  .out = result,
                  .count = batch,
                  .divisor = static_cast<double>(batch)};
  launch<mean_of>(device, {.threads = kMeanThreads, .shared_bytes = kMeanShared}, mean);
  return {};
}

/// Gradients of the unit rows: of queries, the weights times the keys; of keys, their transpose times the queries.
void launch_unit_gradients(Device& device, const Work& work) {
  Products p{.a = work.scores,
             .b = work.unit_keys(),
             .out = work.last,
             .a_row = work.batch,
             .a_step = 1,
             .b_row = 1,
             .b_step = work.width,
             .rows = static_cast<int>(work.batch),
             .columns = static_cast<int>(work.width),
             .terms = static_cast<int>(work.batch),
             .scale = 1};
  launch_products(device, p);
  p.a_row = 1;
  p.a_step = work.batch;
  p.b = work.unit;
  p.out += work.batch * work.width;
  launch_products(device, p);
}

// buffers: dy [], queries [B, C], keys [B, C], dQueries [B, C], dKeys [B, C]. numbers: [B, C, temperature].
Status loss_grad(Device& device, const OpArguments& arguments) {
  Arguments in("DmInfoNceGrad", arguments, 5, 3);
  check_sizes(in);
  const std::int64_t batch = in.count(0);
  const std::int64_t width = in.count(1);
  const float scale = static_cast<float>(1 / in.number(2));
  const std::int64_t count = in.product(0, 2);
  const float* dy = in.buffer<float>(0, 1);
  const float* queries = in.buffer<float>(1, count);
  const float* keys = in.buffer<float>(2, count);
  float* d_queries = in.buffer<float>(3, count);
  float* d_keys = in.buffer<float>(4, count);
  if (!in.ok()) return in.status();
  const Work work(device, batch, width, 2 * count);
  if (!work.taken) return {};
  launch_scores(device, work, queries, keys, scale);
  const ScoreRows rows{.scores = work.scores,
                       .losses = nullptr,
                       .dy = dy,
                       .factor = scale / static_cast<float>(batch),
                       .batch = static_cast<int>(batch)};
  launch<score_rows>(device, {.blocks = blocks_for(batch, kInfoNceWarps), .threads = kThreads},
                     rows);
  launch_unit_gradients(device, work);
  const AcrossRows across{.d_unit = work.last,
                          .unit = work.unit,
                          .inverse = work.inverse,
                          .d_queries = d_queries,
                          .d_keys = d_keys,
                          .batch = batch,
                          .width = static_cast<int>(width)};
  launch<across_rows>(
      device, {.blocks = blocks_for(2 * batch, kInfoNceWarps), .threads = kThreads}, across);
  return {};
}

}  // namespace

void register_info_nce(DeviceOpTable& table) {
  table.add("DmInfoNce", loss);
  table.add("DmInfoNceGrad", loss_grad);
}

}  // namespace dm::cuda
