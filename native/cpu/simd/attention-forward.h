// SPDX-License-Identifier: Apache-2.0
// The forward pass of a head. For this folder only.
#pragma once

#include "cpu/simd/attention-blocks.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kForwardScores = 48 * 1024;  // floats of scores of a block

struct ForwardScratch {
  float *keys, *values, *queries, *scores, *sums, *outputs, *maxima;
  std::int64_t floats;
};

template <typename Product>
ForwardScratch forward_parts(const Head& head, const Plan& plan, float* start) {
  Scratch scratch(start);
  const std::int64_t rows = plan.query_block + kRowSlack;
  ForwardScratch parts;
  parts.keys = scratch.take(columns_size<Product>(head, plan));
  parts.values = scratch.take(rows_size<Product>(plan));
  parts.queries = scratch.take(rows * plan.padded_width);
  parts.scores = scratch.take(rows * plan.score_step);
  parts.outputs = scratch.take(rows * plan.padded_width);
  parts.maxima = scratch.take(rows);
  parts.sums = scratch.take(rows);
  parts.floats = scratch.taken();
  return parts;
}

/// Scores times `factor` to words of powers of two below the row's maximum so far; outputs and sum follow a new maximum.
template <typename Product>
void softmax_row(std::int64_t keys, float factor, bool first, float* scores, float* maximum, float* sum,
                 float* output, std::int64_t padded_width) {
  constexpr std::int64_t kMany = Product::kElements;
  Floats top = load(scores);
  for (std::int64_t i = kLanes; i < keys; i += kLanes) top = larger(top, load(scores + i));
  float peak = largest_of(top) * factor;
  float before = 0;
  if (!first) {
    peak = peak > *maximum ? peak : *maximum;
    const Floats fade = exp2_of(splat(*maximum - peak));
    for (std::int64_t i = 0; i < padded_width; i += kLanes) store(output + i, load(output + i) * fade);
    before = *sum * fade[0];
  }
  const Floats scale = splat(factor);
  const Floats shift = splat(-peak);
  Floats total{};
  for (std::int64_t i = 0; i < keys; i += kMany * kLanes) {
    Floats powers[kMany] = {};
    for (std::int64_t j = 0; j < kMany && i + j * kLanes < keys; ++j) {
      powers[j] = exp2_of(fused(load(scores + i + j * kLanes), scale, shift));
      total += powers[j];
    }
    store(scores + i / kMany, words_along(Product{}, powers));
  }
  *maximum = peak;
  *sum = before + sum_of(total);
}

template <typename Product>
void forward_block(const HeadForward& call, const Plan& plan, const ForwardScratch& parts,
                   std::int64_t first_query, std::int64_t queries) {
  const Head& head = call.head;
  const std::int64_t width = plan.padded_width;
  const std::int64_t words = words_of<Product>(head.width);
  const MatrixView rows{parts.queries, round_up(words, kLanes), 1};
  copy_rows<Product>(head.query, first_query, queries, head.width, parts.queries);
  for (std::int64_t block = 0; block < plan.key_blocks; ++block) {
    const std::int64_t first_key = block * plan.key_block;
    const std::int64_t keys = least(plan.key_block, head.keys - first_key);
    multiply<Product, false>(rows, parts.keys + columns_place<Product>(head, first_key), queries,
                             round_up(keys, kLanes), words, parts.scores, plan.score_step);
    for (std::int64_t row = 0; row < queries; ++row) {
      float* scores = parts.scores + row * plan.score_step;
      const float factor = finish_scores(head, first_query + row, first_key, keys, scores);
      softmax_row<Product>(keys, factor, block == 0, scores, parts.maxima + row, parts.sums + row,
                           parts.outputs + row * width, width);
    }
    const MatrixView powers{parts.scores, plan.score_step, 1};
    const float* values = parts.values + rows_place<Product>(plan, first_key);
    const auto add = block == 0 ? multiply<Product, false> : multiply<Product, true>;
    add(powers, values, queries, width, words_of<Product>(keys), parts.outputs, width);
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    const float sum = parts.sums[row];
    write_row(call.output, first_query + row, head.width, parts.outputs + row * width, 1.0f / sum);
    call.log_sums[first_query + row] = parts.maxima[row] + __builtin_log2f(sum);
  }
}

template <typename Product>
void forward_of(const HeadForward& call, float* scratch) {
  const Head& head = call.head;
  const Plan plan = plan_of(head, kForwardScores);
  const ForwardScratch parts = forward_parts<Product>(head, plan, scratch);
  for (std::int64_t first = 0; first < head.keys; first += plan.key_block) {
    const std::int64_t keys = least(plan.key_block, head.keys - first);
    pack_columns<Product>(head.key, first, keys, head.width, parts.keys + columns_place<Product>(head, first));
    pack_rows<Product>(head.value, first, keys, head.width, parts.values + rows_place<Product>(plan, first));
  }
  for (std::int64_t first = 0; first < head.queries; first += plan.query_block) {
    forward_block<Product>(call, plan, parts, first, least(plan.query_block, head.queries - first));
  }
}

}  // namespace
}  // namespace dm::cpu::DM_ISA
