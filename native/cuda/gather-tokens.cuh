// SPDX-License-Identifier: Apache-2.0
// Tokens onto zeros at each sample's own indices, the gradient of gathering them (packages/core/src/ops/gather-tokens.ts): one warp a token
// of the result reads the sample's indices 32 at a time, so equal ones add up in rising order without atomics. Gathering itself is
// core/copy-rows.cuh.
//
// B batch, T tokens, N indices of a sample, C width.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kScatterWarps = 8;

template <class V>
struct ScatterTokens {
  const V* x;                   ///< [B, N, C]
  const std::int32_t* indices;  ///< [B, N]
  V* y;                         ///< [B, T, C]
  std::int64_t rows;            ///< B T
  std::int64_t count;           ///< N
  std::int64_t width;           ///< C
  Divisor tokens;               ///< T
  bool fours;                   ///< C is a multiple of four, and x and y are aligned to four
};

/// y = x, or y += x, of one row.
template <class V>
DM_DEVICE void add_row(V* y, const V* x, const ScatterTokens<V>& p, bool first) {
  const int lane = thread_index() % kWarp;
  if (p.fours) {
    for (std::int64_t c = 4 * lane; c < p.width; c += 4 * kWarp) {
      FourOf<V> sum = read_four(x + c);
      if (!first) {
        const FourOf<V> before = read_four(y + c);
        DM_UNROLL
        for (int k = 0; k < 4; ++k) sum.at[k] = before.at[k] + sum.at[k];
      }
      write_four(y + c, sum);
    }
  } else {
    for (std::int64_t c = lane; c < p.width; c += kWarp) y[c] = first ? x[c] : y[c] + x[c];
  }
}

template <class V>
DM_KERNEL(kScatterWarps* kWarp, 4)
scatter_tokens(ScatterTokens<V> p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kScatterWarps + thread_index() / kWarp;
  if (row >= p.rows) return;
  const int lane = thread_index() % kWarp;
  const std::int64_t sample = p.tokens.quotient(row);
  const std::int64_t token = row - sample * p.tokens.value;
  const std::int32_t* indices = p.indices + sample * p.count;
  V* y = p.y + row * p.width;
  bool first = true;
  for (std::int64_t base = 0; base < p.count; base += kWarp) {
    const bool mine = base + lane < p.count && indices[base + lane] == token;
    for (std::uint32_t found = ballot(mine); found != 0; found &= found - 1) {
      const std::int64_t place = sample * p.count + base + lowest_bit(found);
      add_row(y, p.x + place * p.width, p, first);
      first = false;
    }
  }
  if (first) {
    for (std::int64_t c = lane; c < p.width; c += kWarp) y[c] = V{0};
  }
}

}  // namespace dm::cuda
