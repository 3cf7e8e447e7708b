// SPDX-License-Identifier: Apache-2.0
// Scores of a block of queries by a block of keys at a time, both small enough for the second-level cache; with more keys than a
// block, a running maximum and sum (arXiv 2205.14135 §3.1).
#include "cpu/simd/attention.h"

#include "cpu/simd/attention-pack.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kKeyBlock = 512;
constexpr std::int64_t kForwardScores = 48 * 1024;   // floats of scores of a block
constexpr std::int64_t kBackwardScores = 32 * 1024;  // of each of two
constexpr float kLn2 = 0.69314718056f;
constexpr float kHidden = -1e30f;  // a score that leaves nothing

std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

/// How a head is cut into blocks, all sizes in floats or rows.
struct Plan {
  std::int64_t padded_width;
  std::int64_t key_block;    ///< a multiple of 16 unless it holds all keys
  std::int64_t key_blocks;
  std::int64_t score_step;   ///< from row to row of scores: an odd number of cache lines, so that columns spread over the cache
  std::int64_t query_block;
};

Plan plan_of(const Head& head, std::int64_t scores) {
  Plan plan;
  plan.padded_width = round_up(head.width, kLanes);
  plan.key_blocks = most(1, (head.keys + kKeyBlock - 1) / kKeyBlock);
  plan.key_block = plan.key_blocks == 1
                       ? head.keys
                       : round_up((head.keys + plan.key_blocks - 1) / plan.key_blocks, 16);
  const std::int64_t lines = round_up(plan.key_block, 16) / 16;
  plan.score_step = 16 * (lines | 1);
  const std::int64_t rows = most(24, scores / plan.score_step);
  const std::int64_t blocks = most(1, (head.queries + rows - 1) / rows);
  plan.query_block = round_up((head.queries + blocks - 1) / blocks, 2);
  return plan;
}

/// Hands out parts of the scratch, each 64-byte aligned.
class Scratch {
 public:
  explicit Scratch(float* start) : start_(start), next_(start) {}
  float* take(std::int64_t floats) {
    float* part = next_;
    next_ += round_up(floats, 16);
    return part;
  }
  std::int64_t taken() const { return next_ - start_; }

 private:
  float* start_;
  float* next_;
};

/// Floats of all key blocks' transposed panels.
std::int64_t columns_size(const Head& head, const Plan& plan) {
  return plan.key_blocks * round_up(plan.key_block, kLanes) * head.width;
}

// ---- forward --------------------------------------------------------------------------------------------------------------------

struct ForwardScratch {
  float *keys, *values, *queries, *scores, *sums, *outputs, *maxima;
  std::int64_t floats;
};

ForwardScratch forward_parts(const Head& head, const Plan& plan, float* start) {
  Scratch scratch(start);
  const std::int64_t rows = plan.query_block + kRowSlack;
  ForwardScratch parts;
  parts.keys = scratch.take(columns_size(head, plan));
  parts.values = scratch.take(plan.key_blocks * plan.key_block * plan.padded_width);
  parts.queries = scratch.take(rows * plan.padded_width);
  parts.scores = scratch.take(rows * plan.score_step);
  parts.outputs = scratch.take(rows * plan.padded_width);
  parts.maxima = scratch.take(rows);
  parts.sums = scratch.take(rows);
  parts.floats = scratch.taken();
  return parts;
}

void add_row(const float* added, std::int64_t count, float* scores) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(scores + i, load(scores + i) + load(added + i));
}

/// Adds bias and mask to a row of scores, and hides what is past the keys.
void finish_scores(const Head& head, std::int64_t query, std::int64_t first_key, std::int64_t keys,
                   float* scores) {
  const std::int64_t padded = round_up(keys, kLanes);
  const std::int64_t start = query * head.bias_stride + first_key;
  if (head.bias != nullptr) add_row(head.bias + start, padded, scores);
  if (head.mask != nullptr) add_row(head.mask + start, padded, scores);
  for (std::int64_t i = keys; i < padded; ++i) scores[i] = kHidden;
}

/// Scores to powers of two below the row's maximum so far; outputs and sum follow a new maximum.
void softmax_row(std::int64_t keys, bool first, float* scores, float* maximum, float* sum,
                 float* output, std::int64_t padded_width) {
  Floats top = load(scores);
  for (std::int64_t i = kLanes; i < keys; i += kLanes) top = larger(top, load(scores + i));
  float peak = largest_of(top);
  float before = 0;
  if (!first) {
    peak = peak > *maximum ? peak : *maximum;
    const Floats fade = exp2_of(splat(*maximum - peak));
    for (std::int64_t i = 0; i < padded_width; i += kLanes) store(output + i, load(output + i) * fade);
    before = *sum * fade[0];
  }
  const Floats shift = splat(peak);
  Floats total{};
  for (std::int64_t i = 0; i < keys; i += kLanes) {
    const Floats power = exp2_of(load(scores + i) - shift);
    store(scores + i, power);
    total += power;
  }
  *maximum = peak;
  *sum = before + sum_of(total);
}

void forward_block(const HeadForward& call, const Plan& plan, const ForwardScratch& parts,
                   std::int64_t first_query, std::int64_t queries) {
  const Head& head = call.head;
  copy_rows(head.query, first_query, queries, head.width, head.scale, parts.queries);
  for (std::int64_t block = 0; block < plan.key_blocks; ++block) {
    const std::int64_t first_key = block * plan.key_block;
    const std::int64_t keys = least(plan.key_block, head.keys - first_key);
    multiply<false>({parts.queries, plan.padded_width, 1}, parts.keys + first_key * head.width,
                    queries, round_up(keys, kLanes), head.width, parts.scores, plan.score_step);
    for (std::int64_t row = 0; row < queries; ++row) {
      float* scores = parts.scores + row * plan.score_step;
      finish_scores(head, first_query + row, first_key, keys, scores);
      softmax_row(keys, block == 0, scores, parts.maxima + row, parts.sums + row,
                  parts.outputs + row * plan.padded_width, plan.padded_width);
    }
    const MatrixView powers{parts.scores, plan.score_step, 1};
    const float* values = parts.values + first_key * plan.padded_width;
    if (block == 0) {
      multiply<false>(powers, values, queries, plan.padded_width, keys, parts.outputs,
                      plan.padded_width);
    } else {
      multiply<true>(powers, values, queries, plan.padded_width, keys, parts.outputs,
                     plan.padded_width);
    }
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    const float sum = parts.sums[row];
    write_row(call.output, first_query + row, head.width, parts.outputs + row * plan.padded_width,
              1.0f / sum);
    call.log_sums[first_query + row] = parts.maxima[row] + __builtin_log2f(sum);
  }
}

std::int64_t forward_scratch(const Head& head) {
  return forward_parts(head, plan_of(head, kForwardScores), nullptr).floats;
}

void forward(const HeadForward& call, float* scratch) {
  const Head& head = call.head;
  const Plan plan = plan_of(head, kForwardScores);
  const ForwardScratch parts = forward_parts(head, plan, scratch);
  for (std::int64_t first = 0; first < head.keys; first += plan.key_block) {
    const std::int64_t keys = least(plan.key_block, head.keys - first);
    pack_columns(head.key, first, keys, head.width, parts.keys + first * head.width);
    pack_rows(head.value, first, keys, head.width, 1.0f, parts.values + first * plan.padded_width);
  }
  for (std::int64_t first = 0; first < head.queries; first += plan.query_block) {
    forward_block(call, plan, parts, first, least(plan.query_block, head.queries - first));
  }
}

// ---- backward -------------------------------------------------------------------------------------------------------------------

struct BackwardScratch {
  float *key_columns, *value_columns, *key_rows;     // right sides by key block
  float *queries, *gradients;                        // rows of a block of queries
  float *query_panels, *gradient_panels;             // the same as right sides
  float *powers, *score_gradients;                   // [queries, score_step]
  float *query_sums, *key_sums, *value_sums;         // gradients before they are written
  float *deltas;
  std::int64_t floats;
};

BackwardScratch backward_parts(const Head& head, const Plan& plan, float* start) {
  Scratch scratch(start);
  const std::int64_t rows = plan.query_block + kRowSlack;
  const std::int64_t width = plan.padded_width;
  const bool one_panel = width <= kPanel * kLanes;
  BackwardScratch parts;
  parts.key_columns = scratch.take(columns_size(head, plan));
  parts.value_columns = scratch.take(columns_size(head, plan));
  parts.key_rows = scratch.take(plan.key_blocks * plan.key_block * width);
  parts.queries = scratch.take(rows * width);
  parts.gradients = scratch.take(rows * width);
  // One panel has the layout of the rows.
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
void load_queries(const HeadBackward& call, const Plan& plan, const BackwardScratch& parts,
                  std::int64_t first, std::int64_t queries) {
  const Head& head = call.head;
  copy_rows(head.query, first, queries, head.width, head.scale, parts.queries);
  copy_rows(call.output_gradient, first, queries, head.width, 1.0f, parts.gradients);
  if (parts.query_panels != parts.queries) {
    pack_rows(head.query, first, queries, head.width, head.scale, parts.query_panels);
    pack_rows(call.output_gradient, first, queries, head.width, 1.0f, parts.gradient_panels);
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    const float* gradient = parts.gradients + row * plan.padded_width;
    parts.deltas[row] =
        call.output.bfloat16
            ? dot_rows(row_of<const Bf16>(call.output, first + row), gradient, head.width)
            : dot_rows(row_of<const float>(call.output, first + row), gradient, head.width);
  }
}

/// Scores to probabilities, gradients of probabilities to gradients of scores.
void softmax_gradient_row(std::int64_t keys, float log_sum, float delta, float* powers,
                          float* gradients, float* bias_gradient) {
  const Floats shift = splat(log_sum);
  const Floats centre = splat(delta);
  for (std::int64_t i = 0; i < keys; i += kLanes) {
    const Floats probability = exp2_of(load(powers + i) - shift);
    const Floats gradient = probability * (load(gradients + i) - centre);
    store(powers + i, probability);
    store(gradients + i, gradient);
    if (bias_gradient != nullptr) store(bias_gradient + i, load(bias_gradient + i) + gradient);
  }
}

template <bool kAdd>
void add_products(const BackwardScratch& parts, const Plan& plan, std::int64_t queries,
                  std::int64_t keys, float* key_sums, float* value_sums) {
  const std::int64_t width = plan.padded_width;
  multiply<kAdd>({parts.powers, 1, plan.score_step}, parts.gradient_panels, keys, width, queries,
                 value_sums, width);
  multiply<kAdd>({parts.score_gradients, 1, plan.score_step}, parts.query_panels, keys, width,
                 queries, key_sums, width);
}

void backward_block(const HeadBackward& call, const Plan& plan, const BackwardScratch& parts,
                    std::int64_t first_query, std::int64_t queries) {
  const Head& head = call.head;
  const std::int64_t width = plan.padded_width;
  load_queries(call, plan, parts, first_query, queries);
  for (std::int64_t block = 0; block < plan.key_blocks; ++block) {
    const std::int64_t first_key = block * plan.key_block;
    const std::int64_t keys = least(plan.key_block, head.keys - first_key);
    const std::int64_t padded_keys = round_up(keys, kLanes);
    multiply<false>({parts.queries, width, 1}, parts.key_columns + first_key * head.width, queries,
                    padded_keys, head.width, parts.powers, plan.score_step);
    multiply<false>({parts.gradients, width, 1}, parts.value_columns + first_key * head.width,
                    queries, padded_keys, head.width, parts.score_gradients, plan.score_step);
    for (std::int64_t row = 0; row < queries; ++row) {
      const std::int64_t query = first_query + row;
      float* powers = parts.powers + row * plan.score_step;
      finish_scores(head, query, first_key, keys, powers);
      float* bias_gradient = call.bias_gradient == nullptr
                                 ? nullptr
                                 : call.bias_gradient + query * head.bias_stride + first_key;
      softmax_gradient_row(keys, call.log_sums[query], parts.deltas[row], powers,
                           parts.score_gradients + row * plan.score_step, bias_gradient);
    }
    const MatrixView gradients{parts.score_gradients, plan.score_step, 1};
    const float* rows = parts.key_rows + first_key * width;
    if (block == 0) {
      multiply<false>(gradients, rows, queries, width, keys, parts.query_sums, width);
    } else {
      multiply<true>(gradients, rows, queries, width, keys, parts.query_sums, width);
    }
    const std::int64_t start = (first_key + block * kRowSlack) * width;
    if (first_query == 0) {
      add_products<false>(parts, plan, queries, keys, parts.key_sums + start,
                          parts.value_sums + start);
    } else {
      add_products<true>(parts, plan, queries, keys, parts.key_sums + start,
                         parts.value_sums + start);
    }
  }
  for (std::int64_t row = 0; row < queries; ++row) {
    write_row(call.query_gradient, first_query + row, head.width, parts.query_sums + row * width,
              head.scale * kLn2);
  }
}

std::int64_t backward_scratch(const Head& head) {
  return backward_parts(head, plan_of(head, kBackwardScores), nullptr).floats;
}

void backward(const HeadBackward& call, float* scratch) {
  const Head& head = call.head;
  const Plan plan = plan_of(head, kBackwardScores);
  const BackwardScratch parts = backward_parts(head, plan, scratch);
  const std::int64_t width = plan.padded_width;
  for (std::int64_t first = 0; first < head.keys; first += plan.key_block) {
    const std::int64_t keys = least(plan.key_block, head.keys - first);
    pack_columns(head.key, first, keys, head.width, parts.key_columns + first * head.width);
    pack_columns(head.value, first, keys, head.width, parts.value_columns + first * head.width);
    pack_rows(head.key, first, keys, head.width, 1.0f, parts.key_rows + first * width);
  }
  if (head.queries == 0) {
    const std::int64_t floats = plan.key_blocks * (plan.key_block + kRowSlack) * width;
    for (std::int64_t i = 0; i < floats; ++i) parts.key_sums[i] = parts.value_sums[i] = 0;
  }
  for (std::int64_t first = 0; first < head.queries; first += plan.query_block) {
    backward_block(call, plan, parts, first, least(plan.query_block, head.queries - first));
  }
  for (std::int64_t key = 0; key < head.keys; ++key) {
    const std::int64_t start = (key + key / plan.key_block * kRowSlack) * width;
    // The queries in key_sums carry scale / ln 2 of their own.
    write_row(call.key_gradient, key, head.width, parts.key_sums + start, kLn2);
    write_row(call.value_gradient, key, head.width, parts.value_sums + start, 1.0f);
  }
}

}  // namespace

extern const AttentionKernels kAttention = {
    .forward_scratch = forward_scratch,
    .backward_scratch = backward_scratch,
    .forward = forward,
    .backward = backward,
};

}  // namespace dm::cpu::DM_ISA
