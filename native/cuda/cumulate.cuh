// SPDX-License-Identifier: Apache-2.0
// Running sums and products along one axis. Along an outer axis one thread runs through a column, element after element as the CPU op does; along
// the innermost one a warp takes 32 elements at a time, so that floats are added in another order, the same every time; products of floats are
// not cut into parts.
//
// O outer, L length, I inner.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"

namespace dm::cuda {

constexpr int kCumulateThreads = 128;
constexpr int kCumulateWarps = kCumulateThreads / kWarp;

/// V is float, or an unsigned word, which wraps around.
template <class V>
struct Cumulate {
  const V* x;            ///< [O, L, I]
  V* y;                  ///< [O, L, I]
  std::int64_t columns;  ///< O I
  std::int64_t length;   ///< L
  Divisor inner;         ///< I
  bool exclusive;        ///< of the elements before, not up to
  bool reverse;          ///< from the end
};

template <bool kProduct, class V>
DM_DEVICE V accumulate(V a, V b) {
  return kProduct ? a * b : a + b;
}

/// One thread a column.
template <bool kProduct, class V>
DM_KERNEL(kCumulateThreads, 4)
cumulate_columns(Cumulate<V> p) {
  const std::int64_t column =
      static_cast<std::int64_t>(block_index()) * kCumulateThreads + thread_index();
  if (column >= p.columns) return;
  std::int64_t outer = column;
  const std::int64_t along = take_remainder(outer, p.inner);
  const std::int64_t first = outer * p.length * p.inner.value + along;
  V total{kProduct};
  for (std::int64_t i = 0; i < p.length; ++i) {
    const std::int64_t at = first + (p.reverse ? p.length - 1 - i : i) * p.inner.value;
    const V following = accumulate<kProduct>(p.x[at], total);
    p.y[at] = p.exclusive ? total : following;
    total = following;
  }
}

/// One warp a row; I is 1.
template <bool kProduct, class V>
DM_KERNEL(kCumulateThreads, 4)
cumulate_rows(Cumulate<V> p) {
  const std::int64_t row =
      static_cast<std::int64_t>(block_index()) * kCumulateWarps + thread_index() / kWarp;
  if (row >= p.columns) return;
  const int lane = thread_index() % kWarp;
  V before{kProduct};  // of all elements of earlier rounds
  for (std::int64_t base = 0; base < p.length; base += kWarp) {
    const std::int64_t i = base + lane;
    const bool inside = i < p.length;
    const std::int64_t at = row * p.length + (p.reverse ? p.length - 1 - i : i);
    V total = inside ? p.x[at] : V{kProduct};
    DM_UNROLL
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const V other = shuffle_up(total, distance);
      if (lane >= distance) total = accumulate<kProduct>(other, total);
    }
    const V previous = shuffle_up(total, 1);
    if (inside) {
      const V own = lane == 0 ? before : accumulate<kProduct>(before, previous);
      p.y[at] = p.exclusive ? own : accumulate<kProduct>(before, total);
    }
    before = accumulate<kProduct>(before, shuffle(total, kWarp - 1));
  }
}

}  // namespace dm::cuda
