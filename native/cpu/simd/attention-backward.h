// SPDX-License-Identifier: Apache-2.0
// The gradient pass of a head. For this folder only.
#pragma once

#include "cpu/simd/attention-blocks.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kBackwardScores = 32 * 1024;  // floats of scores of a block, and of their gradients
constexpr float kLn2 = 0.69314718056f;

struct BackwardScratch {
  float *key_columns, *value_columns, *key_rows;     // right sides by key block
  float *queries, *gradients;                        // rows of a block of queries
  float *query_panels, *gradient_panels;             // the same as right sides
  float *powers, *score_gradients;                   // [queries, score_step]
  float *query_sums, *key_sums, *value_sums;         // gradients before they are written
  float *deltas;
  std::int64_t floats;
};

template <typename Product>
BackwardScratch backward_parts(const Head& head, const Plan& plan, float* start) {
  Scratch scratch(start);
  const std::int64_t rows = plan.query_block + kRowSlack;
  const std::int64_t width = plan.padded_width;
  const bool one_panel = Product::kElements == 1 && width <= kPanel * kLanes;
  BackwardScratch parts;
  parts.key_columns = scratch.take(columns_size<Product>(head, plan));
  parts.value_columns = scratch.take(columns_size<Product>(head, plan));
  parts.key_rows = scratch.take(rows_size<Product>(plan));
  parts.queries = scratch.take(rows * width);
  parts.gradients = scratch.take(rows * width);
  // One panel of single elements has the layout of the rows.
  parts.query_panels = one_panel ? parts.queries : scratch.take(rows * width);
  parts.gradient_panels = one_panel ? parts.gradients : scratch.take(rows * width);
  // Columns past the keys are read when the scores are taken by columns.
  parts.powers = scratch.take(rows * plan.score_step + kRowSlack);
  parts.score_gradients = scratch.take(rows * plan.score_step + kRowSlack);
  parts.query_sums = scratch.take(rows * width);
  parts.key_sums = scratch.take(plan.key_blocks * (plan.key_block + kRowSlack) * width);
  parts.value_sums = scratch.take(plan.key_blocks * (plan.key_block + kRowSlack) * width);
  parts.deltas = scratch.take(rows);
  parts.floats = scratch.taken();
  return parts;
}

/// Rows of queries and output gradients, and delta = the sum of output times its gradient.
template <typename Product>
void load_queries(const HeadBackward& call, const BackwardScratch& parts, std::int64_t first,
                  std::int64_t queries) {
  const Head& head = call.head;
  copy_rows<Product>(head.query, first, queries, head.width, parts.queries);
  copy_rows<Product>(call.output_gradient, first, queries, head.width, parts.gradients);
  if (parts.query_panels != parts.queries) {
    pack_rows<Product>(head.query, first, queries, head.width, parts.query_panels);
    pack_rows<Product>(call.output_gradient, first, queries, head.width, parts.gradient_panels);
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    parts.deltas[row] = dot_rows(call.output, call.output_gradient, first + row, head.width);
  }
}

/// A query's part in the gradient of the softmax.
struct SoftmaxRow {
  float *powers, *gradients;  ///< scores, and the gradients of probabilities; null past the queries
  float factor, log_sum, delta;
  float* bias_gradient;  ///< or null
};

/// Of as many rows as a word has elements. `gradients` become those of the scores, as words along the row: what is summed over keys.
/// What is summed over queries are words of the values of these rows: the probabilities, in the first `powers`; and, if there is
/// more than one row, the gradients of scores, in the row after it.
template <typename Product>
void softmax_gradient_rows(std::int64_t keys, std::int64_t score_step, const SoftmaxRow* rows) {
  constexpr std::int64_t kMany = Product::kElements;
  for (std::int64_t i = 0; i < keys; i += kMany * kLanes) {
    Floats along[kMany][kMany] = {};
    for (std::int64_t j = 0; j < kMany && i + j * kLanes < keys; ++j) {
      const std::int64_t at = i + j * kLanes;
      Floats powers[kMany] = {};
      Floats gradients[kMany] = {};
      for (std::int64_t r = 0; r < kMany; ++r) {
        const SoftmaxRow& row = rows[r];
        if (row.powers == nullptr) continue;
        powers[r] = exp2_of(fused(load(row.powers + at), splat(row.factor), splat(-row.log_sum)));
        gradients[r] = powers[r] * (load(row.gradients + at) - row.delta);
        if (row.bias_gradient != nullptr) {
          store(row.bias_gradient + at, load(row.bias_gradient + at) + gradients[r]);
        }
        along[r][j] = gradients[r];
      }
      store(rows[0].powers + at, words_down(Product{}, powers));
      if constexpr (kMany > 1) store(rows[0].powers + score_step + at, words_down(Product{}, gradients));
    }
    for (std::int64_t r = 0; r < kMany; ++r) {
      if (rows[r].powers != nullptr) store(rows[r].gradients + i / kMany, words_along(Product{}, along[r]));
    }
  }
}

template <typename Product>
void softmax_gradient(const HeadBackward& call, const Plan& plan, const BackwardScratch& parts,
                      std::int64_t first_query, std::int64_t queries, std::int64_t first_key,
                      std::int64_t keys) {
  const Head& head = call.head;
  for (std::int64_t row = 0; row < queries; row += Product::kElements) {
    SoftmaxRow rows[Product::kElements] = {};
    for (std::int64_t r = 0; r < Product::kElements && row + r < queries; ++r) {
      const std::int64_t query = first_query + row + r;
      float* powers = parts.powers + (row + r) * plan.score_step;
      rows[r] = {.powers = powers,
                 .gradients = parts.score_gradients + (row + r) * plan.score_step,
                 .factor = finish_scores(head, query, first_key, keys, powers),
                 .log_sum = call.log_sums[query],
                 .delta = parts.deltas[row + r],
                 .bias_gradient = call.bias_gradient == nullptr
                                      ? nullptr
                                      : call.bias_gradient + query * head.bias_stride + first_key};
    }
    softmax_gradient_rows<Product>(keys, plan.score_step, rows);
  }
}

/// Sums over queries: the gradients of keys and values.
template <typename Product, bool kAdd>
void add_products(const BackwardScratch& parts, const Plan& plan, std::int64_t queries,
                  std::int64_t keys, float* key_sums, float* value_sums) {
  const std::int64_t width = plan.padded_width;
  const std::int64_t words = words_of<Product>(queries);
  const std::int64_t step = Product::kElements * plan.score_step;
  const float* gradients =
      Product::kElements == 1 ? parts.score_gradients : parts.powers + plan.score_step;
  multiply<Product, kAdd>({parts.powers, 1, step}, parts.gradient_panels, keys, width, words,
                          value_sums, width);
  multiply<Product, kAdd>({gradients, 1, step}, parts.query_panels, keys, width, words, key_sums,
                          width);
}

template <typename Product>
void backward_block(const HeadBackward& call, const Plan& plan, const BackwardScratch& parts,
                    std::int64_t first_query, std::int64_t queries) {
  const Head& head = call.head;
  const std::int64_t width = plan.padded_width;
  const std::int64_t words = words_of<Product>(head.width);
  const std::int64_t row_step = round_up(words, kLanes);
  load_queries<Product>(call, parts, first_query, queries);
  for (std::int64_t block = 0; block < plan.key_blocks; ++block) {
    const std::int64_t first_key = block * plan.key_block;
    const std::int64_t keys = least(plan.key_block, head.keys - first_key);
    const std::int64_t padded_keys = round_up(keys, kLanes);
    const std::int64_t columns = columns_place<Product>(head, first_key);
    multiply<Product, false>({parts.queries, row_step, 1}, parts.key_columns + columns, queries,
                             padded_keys, words, parts.powers, plan.score_step);
    multiply<Product, false>({parts.gradients, row_step, 1}, parts.value_columns + columns, queries,
                             padded_keys, words, parts.score_gradients, plan.score_step);
    softmax_gradient<Product>(call, plan, parts, first_query, queries, first_key, keys);
    const MatrixView gradients{parts.score_gradients, plan.score_step, 1};
    const auto add = block == 0 ? multiply<Product, false> : multiply<Product, true>;
    add(gradients, parts.key_rows + rows_place<Product>(plan, first_key), queries, width,
        words_of<Product>(keys), parts.query_sums, width);
    const std::int64_t start = (first_key + block * kRowSlack) * width;
    const auto add_all = first_query == 0 ? add_products<Product, false> : add_products<Product, true>;
    add_all(parts, plan, queries, keys, parts.key_sums + start, parts.value_sums + start);
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    write_row(call.query_gradient, first_query + row, head.width, parts.query_sums + row * width,
              head.scale * kLn2);
  }
}

template <typename Product>
void backward_of(const HeadBackward& call, float* scratch) {
  const Head& head = call.head;
  const Plan plan = plan_of(head, kBackwardScores);
  const BackwardScratch parts = backward_parts<Product>(head, plan, scratch);
  const std::int64_t width = plan.padded_width;
  for (std::int64_t first = 0; first < head.keys; first += plan.key_block) {
    const std::int64_t keys = least(plan.key_block, head.keys - first);
    const std::int64_t columns = columns_place<Product>(head, first);
    pack_columns<Product>(head.key, first, keys, head.width, parts.key_columns + columns);
    pack_columns<Product>(head.value, first, keys, head.width, parts.value_columns + columns);
    pack_rows<Product>(head.key, first, keys, head.width, parts.key_rows + rows_place<Product>(plan, first));
  }
  if (head.queries == 0) {
    const std::int64_t floats = plan.key_blocks * (plan.key_block + kRowSlack) * width;
    for (std::int64_t i = 0; i < floats; ++i) parts.key_sums[i] = parts.value_sums[i] = 0;
  }
  for (std::int64_t first = 0; first < head.queries; first += plan.query_block) {
    backward_block<Product>(call, plan, parts, first, least(plan.query_block, head.queries - first));
  }
  for (std::int64_t key = 0; key < head.keys; ++key) {
    const std::int64_t start = (key + key / plan.key_block * kRowSlack) * width;
    write_row(call.key_gradient, key, head.width, parts.key_sums + start, head.scale * kLn2);
    write_row(call.value_gradient, key, head.width, parts.value_sums + start, 1.0f);
  }
}

}  // namespace
}  // namespace dm::cpu::DM_ISA
