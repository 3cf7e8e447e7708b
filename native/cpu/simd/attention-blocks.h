// SPDX-License-Identifier: Apache-2.0
// How a head is cut into blocks, and what both passes do to rows of scores. For this folder only.
#pragma once

#include "cpu/simd/attention-pack.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kKeyBlock = 512;
constexpr float kHidden = -1e30f;  // a score that leaves nothing

[[maybe_unused]] std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
[[maybe_unused]] std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

/// How a head is cut into blocks, all sizes in floats or rows.
struct Plan {
  std::int64_t padded_width;
  std::int64_t key_block;    ///< a multiple of 16 unless it holds all keys
  std::int64_t key_blocks;
  std::int64_t score_step;   ///< from row to row of scores: an odd number of cache lines, so that columns spread over the cache
  std::int64_t query_block;
};

[[maybe_unused]] Plan plan_of(const Head& head, std::int64_t scores) {
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

[[maybe_unused]] void add_row(const float* added, std::int64_t count, float* scores) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(scores + i, load(scores + i) + load(added + i));
}

[[maybe_unused]] void scale_row(float factor, std::int64_t count, float* scores) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(scores + i, load(scores + i) * factor);
}

/// Adds bias and mask to a row of scores, and hides what is past the keys. Returns the factor that the scores still want.
[[maybe_unused]] float finish_scores(const Head& head, std::int64_t query, std::int64_t first_key,
                                            std::int64_t keys, float* scores) {
  const std::int64_t padded = round_up(keys, kLanes);
  const std::int64_t start = query * head.bias_stride + first_key;
  const bool plain = head.bias == nullptr && head.mask == nullptr;
  if (!plain) scale_row(head.scale, padded, scores);
  if (head.bias != nullptr) add_row(head.bias + start, padded, scores);
  if (head.mask != nullptr) add_row(head.mask + start, padded, scores);
  for (std::int64_t i = keys; i < padded; ++i) scores[i] = kHidden;
  return plain ? head.scale : 1.0f;
}

}  // namespace
}  // namespace dm::cpu::DM_ISA
