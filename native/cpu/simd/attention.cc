// SPDX-License-Identifier: Apache-2.0
// Scores of a block of queries by a block of keys at a time, both small enough for the second-level cache; with more keys than a
// block, a running maximum and sum (arXiv 2205.14135 §3.1). Products of bfloat16 rows take bfloat16; what is between them is float32.
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

/// Words of all key blocks' transposed panels; and of all as rows.
template <typename Product>
std::int64_t columns_size(const Head& head, const Plan& plan) {
  return plan.key_blocks * round_up(plan.key_block, kLanes) * words_of<Product>(head.width);
}
template <typename Product>
std::int64_t rows_size(const Plan& plan) {
  return plan.key_blocks * words_of<Product>(plan.key_block) * plan.padded_width;
}

/// Where the keys from one on, the first of a block, are in these.
template <typename Product>
std::int64_t columns_place(const Head& head, std::int64_t key) {
  return key * words_of<Product>(head.width);
}
template <typename Product>
std::int64_t rows_place(const Plan& plan, std::int64_t key) {
  return key / Product::kElements * plan.padded_width;
}

// ---- forward --------------------------------------------------------------------------------------------------------------------

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

void add_row(const float* added, std::int64_t count, float* scores) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(scores + i, load(scores + i) + load(added + i));
}

void scale_row(float factor, std::int64_t count, float* scores) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(scores + i, load(scores + i) * factor);
}

/// Adds bias and mask to a row of scores, and hides what is past the keys. Returns the factor that the scores still want.
float finish_scores(const Head& head, std::int64_t query, std::int64_t first_key, std::int64_t keys,
                    float* scores) {
  const std::int64_t padded = round_up(keys, kLanes);
  const std::int64_t start = query * head.bias_stride + first_key;
  const bool plain = head.bias == nullptr && head.mask == nullptr;
  if (!plain) scale_row(head.scale, padded, scores);
  if (head.bias != nullptr) add_row(head.bias + start, padded, scores);
  if (head.mask != nullptr) add_row(head.mask + start, padded, scores);
  for (std::int64_t i = keys; i < padded; ++i) scores[i] = kHidden;
  return plain ? head.scale : 1.0f;
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

// ---- by type --------------------------------------------------------------------------------------------------------------------

template <typename Fn>
auto with_product(const Head& head, const Fn& fn) {
#if defined(__AVX512BF16__)
  if (head.query.bfloat16) return fn(BFloat16Product{});
#endif
  (void)head;
  return fn(Float32Product{});
}

std::int64_t forward_scratch(const Head& head) {
  return with_product(head, [&](auto product) {
    return forward_parts<decltype(product)>(head, plan_of(head, kForwardScores), nullptr).floats;
  });
}

std::int64_t backward_scratch(const Head& head) {
  return with_product(head, [&](auto product) {
    return backward_parts<decltype(product)>(head, plan_of(head, kBackwardScores), nullptr).floats;
  });
}

void forward(const HeadForward& call, float* scratch) {
  with_product(call.head, [&](auto product) { forward_of<decltype(product)>(call, scratch); });
}

void backward(const HeadBackward& call, float* scratch) {
  with_product(call.head, [&](auto product) { backward_of<decltype(product)>(call, scratch); });
}

}  // namespace

extern const AttentionKernels kAttention = {
    .forward_scratch = forward_scratch,
    .backward_scratch = backward_scratch,
    .forward = forward,
    .backward = backward,
};

}  // namespace dm::cpu::DM_ISA
