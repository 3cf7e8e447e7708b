// SPDX-License-Identifier: Apache-2.0
// Softmax attention of one head over one sequence (or window), forward and backward. Scores are kept for a block of queries at a
// time; the probabilities are computed again in the backward pass.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

/// Rows of float32 or bfloat16 elements, in place within a larger matrix: row r is `stride` elements times `order[r]` (r without an
/// order) into `data`.
struct HeadRows {
  void* data;
  std::int64_t stride;
  const std::int32_t* order;
  bool bfloat16;
};

/// What both passes read. All rows of a call are of one type; bfloat16 is multiplied as such where the instruction set can. Scores are in units of ln 2: softmax(query · key * scale + bias + mask), with powers of two.
struct Head {
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t width;
  float scale;  ///< log2(e) / sqrt(width)
  HeadRows query, key, value;
  const float* bias;  ///< [queries, bias_stride], times log2(e), or null
  const float* mask;  ///< the same, or null
  std::int64_t bias_stride;  ///< a multiple of 16, at least keys
};

struct HeadForward {
  Head head;
  HeadRows output;
  float* log_sums;  ///< [queries]: log2 of the sum of powers
};

struct HeadBackward {
  Head head;
  HeadRows output, output_gradient;
  const float* log_sums;
  HeadRows query_gradient, key_gradient, value_gradient;  ///< overwritten
  float* bias_gradient;  ///< [queries, bias_stride], added to, or null
};

struct AttentionKernels {
  /// float32 values of scratch that `forward` and `backward` need, 64-byte aligned.
  std::int64_t (*forward_scratch)(const Head& head);
  std::int64_t (*backward_scratch)(const Head& head);
  void (*forward)(const HeadForward& call, float* scratch);
  void (*backward)(const HeadBackward& call, float* scratch);
};

DM_PER_ISA(AttentionKernels, kAttention)

}  // namespace dm::cpu
