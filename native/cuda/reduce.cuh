// SPDX-License-Identifier: Apache-2.0
// Sums, products, maxima and minima over any axes (core/reduction.h). An output's elements are cut into parts at places that depend on the shape
// alone; a part is folded by a warp where the reduced axes are innermost, else by one thread with its neighbours on neighbouring outputs. Parts
// are combined in order by a second kernel, so that the same shape gives the same bits every time.
//
// O outputs, E elements of an output, P parts.
#pragma once

#include "core/reduction.h"
#include "cuda/core/divide.cuh"
#include "cuda/core/reduce.cuh"
#include "cuda/core/to-int32.cuh"

namespace dm::cuda {

constexpr int kReduceThreads = 256;
constexpr int kReduceWarps = kReduceThreads / kWarp;

/// Groups of axes outside the row.
struct AxisGroups {
  int count = 0;
  Divisor sizes[kMaxRank];
  std::int64_t steps[kMaxRank] = {};

  AxisGroups() = default;
  explicit AxisGroups(const Reduction::Groups& groups) : count(static_cast<int>(groups.count)) {
    for (std::size_t i = 0; i < groups.count; ++i) {
      sizes[i] = Divisor(groups.sizes[i]);
      steps[i] = groups.steps[i];
    }
  }

  /// Where the `index`-th combination starts.
  DM_BOTH std::int64_t offset(std::int64_t index) const {
    std::int64_t result = 0;
    for (int i = count - 1; i >= 0; --i) result += take_remainder(index, sizes[i]) * steps[i];
    return result;
  }
};

/// T elements, A accumulators, R results.
template <class Op>
struct Reduce {
  const typename Op::T* x;
  typename Op::R* out;        ///< [O]
  typename Op::A* partials;   ///< [O, P], or null where P is 1
  AxisGroups kept, reduced;
  Divisor row;                ///< elements of a row: of one output when it is reduced, of one each when it is kept
  std::int64_t outputs;       ///< O
  std::int64_t elements;      ///< E
  std::int64_t part;          ///< elements of a part
  std::int64_t parts;         ///< P
};

/// To the part's place, or what becomes of the total.
template <class Op>
DM_DEVICE void put_part(const Reduce<Op>& p, std::int64_t output, std::int64_t part,
                        typename Op::A total) {
  if (p.partials == nullptr) {
    p.out[output] = Op::finish(total, p.elements);
  } else {
    p.partials[output * p.parts + part] = total;
  }
}

/// The fold of all lanes' values, in every lane.
template <class Op>
DM_DEVICE typename Op::A fold_warp(typename Op::A value) {
  DM_UNROLL
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = Op::fold(value, shuffle_xor(value, mask));
  return value;
}

/// The reduced axes are innermost: one warp a part.
template <class Op>
DM_KERNEL(kReduceThreads, 4)
reduce_rows(Reduce<Op> p) {
  const std::int64_t warp =
      static_cast<std::int64_t>(block_index()) * kReduceWarps + thread_index() / kWarp;
  if (warp >= p.outputs * p.parts) return;
  const std::int64_t output = p.parts == 1 ? warp : warp / p.parts;
  const std::int64_t part = warp - output * p.parts;
  const std::int64_t begin = part * p.part;
  const std::int64_t end = begin + p.part < p.elements ? begin + p.part : p.elements;
  const typename Op::T* x = p.x + p.kept.offset(output);
  typename Op::A total = Op::zero();
  for (std::int64_t i = begin + thread_index() % kWarp; i < end; i += kWarp) {
    std::int64_t at = i;
    if (p.reduced.count > 0) {
      std::int64_t rest = i;
      at = take_remainder(rest, p.row);
      at += p.reduced.offset(rest);
    }
    total = Op::fold(total, static_cast<typename Op::A>(x[at]));
  }
  total = fold_warp<Op>(total);
  if (thread_index() % kWarp == 0) put_part(p, output, part, total);
}

/// The innermost axis is kept: one thread an output, one y block a part.
template <class Op>
DM_KERNEL(kReduceThreads, 4)
reduce_columns(Reduce<Op> p) {
  const std::int64_t output =
      static_cast<std::int64_t>(block_index()) * kReduceThreads + thread_index();
  if (output >= p.outputs) return;
  const std::int64_t part = block_index_y();
  const std::int64_t begin = part * p.part;
  const std::int64_t end = begin + p.part < p.elements ? begin + p.part : p.elements;
  std::int64_t outer = output;
  const std::int64_t column = take_remainder(outer, p.row);
  const typename Op::T* x = p.x + p.kept.offset(outer) + column;
  typename Op::A total = Op::zero();
  for (std::int64_t i = begin; i < end; ++i) {
    total = Op::fold(total, static_cast<typename Op::A>(x[p.reduced.offset(i)]));
  }
  put_part(p, output, part, total);
}

/// Combines the parts of each output: one warp an output.
template <class Op>
DM_KERNEL(kReduceThreads, 4)
combine_parts(Reduce<Op> p) {
  const std::int64_t output =
      static_cast<std::int64_t>(block_index()) * kReduceWarps + thread_index() / kWarp;
  if (output >= p.outputs) return;
  typename Op::A total = Op::zero();
  for (std::int64_t i = thread_index() % kWarp; i < p.parts; i += kWarp) {
    total = Op::fold(total, p.partials[output * p.parts + i]);
  }
  total = fold_warp<Op>(total);
  if (thread_index() % kWarp == 0) p.out[output] = Op::finish(total, p.elements);
}

/// Sums and products of floats in float64, as exact as tfjs, whose numbers are doubles.
struct FloatSum {
  using T = float;
  using A = double;
  using R = float;
  static constexpr float kEmpty = 0;
  DM_DEVICE static A zero() { return 0; }
  DM_DEVICE static A fold(A a, A b) { return a + b; }
  DM_DEVICE static R finish(A total, std::int64_t) { return static_cast<R>(total); }
};
struct FloatMean : FloatSum {
  DM_DEVICE static R finish(A total, std::int64_t elements) {
    return static_cast<R>(total / static_cast<double>(elements));
  }
};
struct FloatProduct : FloatSum {
  static constexpr float kEmpty = 1;
  DM_DEVICE static A zero() { return 1; }
  DM_DEVICE static A fold(A a, A b) { return a * b; }
};
/// Wraps around.
struct IntSum {
  using T = std::int32_t;
  using A = std::uint32_t;
  using R = std::int32_t;
  static constexpr R kEmpty = 0;
  DM_DEVICE static A zero() { return 0; }
  DM_DEVICE static A fold(A a, A b) { return a + b; }
  DM_DEVICE static R finish(A total, std::int64_t) { return static_cast<R>(total); }
};
struct IntProduct {
  using T = std::int32_t;
  using A = double;
  using R = std::int32_t;
  static constexpr R kEmpty = 1;
  DM_DEVICE static A zero() { return 1; }
  DM_DEVICE static A fold(A a, A b) { return a * b; }
  DM_DEVICE static R finish(A total, std::int64_t) { return to_int32(total); }
};
/// The greatest or smallest float; NaN if any is, and of none.
template <bool kMost>
struct FloatExtreme {
  using T = float;
  using A = float;
  using R = float;
  static constexpr float kEmpty = __builtin_nanf("");
  DM_DEVICE static A zero() { return kMost ? -INFINITY : INFINITY; }
  DM_DEVICE static A fold(A a, A b) { return (kMost ? b > a : b < a) || b != b ? b : a; }
  DM_DEVICE static R finish(A total, std::int64_t) { return total; }
};
/// The greatest or smallest integer of type V; 0 of none.
template <class V, bool kMost, std::int32_t kZero>
struct IntExtreme {
  using T = V;
  using A = std::int32_t;
  using R = V;
  static constexpr R kEmpty = 0;
  DM_DEVICE static A zero() { return kZero; }
  DM_DEVICE static A fold(A a, A b) { return (kMost ? b > a : b < a) ? b : a; }
  DM_DEVICE static R finish(A total, std::int64_t) { return static_cast<R>(total); }
};

}  // namespace dm::cuda
