// SPDX-License-Identifier: Apache-2.0
// The places of the greatest and the smallest along one axis, of equal ones the first: one warp a row where the axis is innermost, else one thread
// a column. A NaN is never better, and first nothing is better than it.
//
// O outer, L length, I inner.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kArgThreads = 256;
constexpr int kArgWarps = kArgThreads / kWarp;

template <class T>
struct ArgReduce {
  const T* x;          ///< [O, L, I]
  std::int32_t* place; ///< [O, I]
  std::int64_t outputs;  ///< O I
  std::int64_t length;   ///< L, at least 1
  Divisor inner;         ///< I
};

template <bool kMost, class T>
DM_DEVICE bool beats(T a, T b) {
  return kMost ? a > b : a < b;
}

/// Compares what a shuffle can carry.
template <bool kMost, class T, class Wide>
DM_KERNEL(kArgThreads, 4)
arg_of_rows(ArgReduce<T> p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kArgWarps + thread_index() / kWarp;
  if (row >= p.outputs) return;
  const T* x = p.x + row * p.length;
  auto best = static_cast<Wide>(x[0]);
  std::int32_t place = 0;
  for (std::int64_t i = thread_index() % kWarp; i < p.length; i += kWarp) {
    const auto next = static_cast<Wide>(x[i]);
    if (!beats<kMost>(next, best)) continue;
    best = next;
    place = static_cast<std::int32_t>(i);
  }
  DM_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const Wide other = shuffle_xor(best, mask);
    const std::int32_t other_place = shuffle_xor(place, mask);
    if (!beats<kMost>(other, best) && !(other == best && other_place < place)) continue;
    best = other;
    place = other_place;
  }
  if (thread_index() % kWarp == 0) p.place[row] = place;
}

template <bool kMost, class T>
DM_KERNEL(kArgThreads, 4)
arg_of_columns(ArgReduce<T> p) {
  const std::int64_t output =
      static_cast<std::int64_t>(block_index()) * kArgThreads + thread_index();
  if (output >= p.outputs) return;
  std::int64_t outer = output;
  const std::int64_t column = take_remainder(outer, p.inner);
  const T* x = p.x + outer * p.length * p.inner.value + column;
  T best = x[0];
  std::int32_t place = 0;
  for (std::int64_t i = 1; i < p.length; ++i) {
    const T next = x[i * p.inner.value];
    if (!beats<kMost>(next, best)) continue;
    best = next;
    place = static_cast<std::int32_t>(i);
  }
  p.place[output] = place;
}

}  // namespace dm::cuda
