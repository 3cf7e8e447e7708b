// SPDX-License-Identifier: Apache-2.0
// The two loops of a fold, for the row kernels of this folder. `Op` has an accumulator `A`, its
// value `kZero` of no elements, and `A of(A, A)`.
#pragma once

#include <cstdint>

namespace dm::cpu {
namespace {

/// Element i of the first `count - count % kLanes` goes to lane i % kLanes, and so does the rest;
/// then the lanes are folded in halves.
template <typename Op, int kLanes, typename T>
typename Op::A fold_lanes(const T* x, std::int64_t count) {
  using A = typename Op::A;
  A lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = static_cast<A>(x[lane]);
  std::int64_t i = kLanes;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = Op::of(lanes[lane], static_cast<A>(x[i + lane]));
    }
  }
  for (int lane = 0; i + lane < count; ++lane) {
    lanes[lane] = Op::of(lanes[lane], static_cast<A>(x[i + lane]));
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] = Op::of(lanes[lane], lanes[lane + width]);
  }
  return lanes[0];
}

template <typename Op, typename T>
typename Op::A fold_row(const T* x, std::int64_t count) {
  using A = typename Op::A;
  // Bytes of accumulators that hide the latency of their operation.
  constexpr int kMany = 256 / static_cast<int>(sizeof(A));
  constexpr int kFew = 64 / static_cast<int>(sizeof(A));
  if (count >= 2 * kMany) return fold_lanes<Op, kMany>(x, count);
  if (count >= 2 * kFew) return fold_lanes<Op, kFew>(x, count);
  A total = Op::kZero;
  for (std::int64_t i = 0; i < count; ++i) total = Op::of(total, static_cast<A>(x[i]));
  return total;
}

template <typename Op, typename T>
void fold_rows(const T* __restrict x, std::int64_t stride, std::int64_t rows, std::int64_t count,
               typename Op::A* __restrict into) {
  using A = typename Op::A;
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * stride) {
    const T* x1 = x + stride;
    const T* x2 = x1 + stride;
    const T* x3 = x2 + stride;
    for (std::int64_t i = 0; i < count; ++i) {
      const A left = Op::of(static_cast<A>(x[i]), static_cast<A>(x1[i]));
      const A right = Op::of(static_cast<A>(x2[i]), static_cast<A>(x3[i]));
      into[i] = Op::of(into[i], Op::of(left, right));
    }
  }
  for (; row < rows; ++row, x += stride) {
    for (std::int64_t i = 0; i < count; ++i) into[i] = Op::of(into[i], static_cast<A>(x[i]));
  }
}

/// In double precision: as exact as tfjs, whose numbers are doubles.
struct SumOp {
  using A = double;
  static constexpr A kZero = 0;
  static A of(A a, A b) { return a + b; }
};

/// NaN if any is.
struct MaxOp {
  using A = float;
  static constexpr A kZero = -__builtin_inff();
  static A of(A a, A b) {
    const A most = b > a ? b : a;
    return b == b ? most : b;
  }
};

}  // namespace
}  // namespace dm::cpu
