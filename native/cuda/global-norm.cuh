// SPDX-License-Identifier: Apache-2.0
// The Euclidean norm over several tensors (packages/core/src/ops/global-norm.ts), left on the device: a block adds up the squares of one chunk
// of one tensor, 64 a thread in float32 and all beyond in float64; a last block adds the chunks, always in the same order.
//
// N elements of a tensor, P chunks of all.
#pragma once

#include "cuda/core/reduce.cuh"
#include "cuda/core/tensor-list.cuh"

namespace dm::cuda {

constexpr int kNormThreads = 256;
constexpr std::int64_t kNormChunk = 16384;
constexpr std::size_t kNormShared = kNormThreads / kWarp * sizeof(double);

struct NormTensor {
  const float* x;  ///< [N]
  std::int64_t count;
  std::int64_t first_chunk;
  bool fours;  ///< x is aligned to four elements
};

struct GlobalNorm {
  const NormTensor* tensors;
  double* partials;  ///< [P]
  float* norm;       ///< []
  std::int64_t chunks;
  int tensor_count;
};

DM_KERNEL(kNormThreads, 4)
add_squares(GlobalNorm p) {
  const NormTensor t = entry_of_chunk(p.tensors, p.tensor_count, block_index());
  const std::int64_t begin = (block_index() - t.first_chunk) * kNormChunk;
  const std::int64_t end = begin + kNormChunk < t.count ? begin + kNormChunk : t.count;
  const std::int64_t whole = t.fours ? begin + (end - begin) / 4 * 4 : begin;
  float sum = 0;
  for (std::int64_t i = begin + 4 * thread_index(); i < whole; i += 4 * kNormThreads) {
    const FourOf<float> four = read_four(t.x + i);
    DM_UNROLL
    for (int k = 0; k < 4; ++k) sum += four.at[k] * four.at[k];
  }
  for (std::int64_t i = whole + thread_index(); i < end; i += kNormThreads) {
    sum += t.x[i] * t.x[i];
  }
  const double total =
      block_sum(static_cast<double>(sum), reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) p.partials[block_index()] = total;
}

/// One block.
DM_KERNEL(kNormThreads, 1)
finish_norm(GlobalNorm p) {
  double sum = 0;
  for (std::int64_t i = thread_index(); i < p.chunks; i += kNormThreads) sum += p.partials[i];
  sum = block_sum(sum, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) *p.norm = static_cast<float>(sqrt(sum));
}

}  // namespace dm::cuda
