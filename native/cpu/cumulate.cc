// SPDX-License-Identifier: Apache-2.0
// Running sums and products along one axis, one element after another as tfjs does: each is rounded
// to its dtype.
#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a task has at least
constexpr std::int64_t kTile = 1024;    // columns that run together

/// int32 wraps around.
template <bool kProduct, typename T>
T combine(T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    return kProduct ? a * b : a + b;
  } else {
    const auto left = static_cast<std::uint32_t>(a);
    const auto right = static_cast<std::uint32_t>(b);
    return static_cast<T>(kProduct ? left * right : left + right);
  }
}

/// One row, or column, of elements that are `step` apart, negative from the end.
template <bool kProduct, typename T>
void run_one(const T* x, T* y, std::int64_t length, std::int64_t step, bool exclusive) {
  T total{kProduct};
  for (std::int64_t i = 0; i < length; ++i) {
    const T following = combine<kProduct>(x[i * step], total);
    y[i * step] = exclusive ? total : following;
    total = following;
  }
}

/// `count` neighbouring columns.
template <bool kProduct, typename T>
void run(const T* x, T* y, std::int64_t length, std::int64_t step, std::int64_t count,
         bool exclusive) {
  if (count == 1) return run_one<kProduct>(x, y, length, step, exclusive);
  std::int64_t row = 0;
  if (exclusive) {
    std::fill(y, y + count, T{kProduct});
  } else {
    std::copy(x, x + count, y);
  }
  while (++row < length) {
    const T* previous = y + (row - 1) * step;
    const T* next = x + (exclusive ? row - 1 : row) * step;
    T* out = y + row * step;
    for (std::int64_t i = 0; i < count; ++i) out[i] = combine<kProduct>(next[i], previous[i]);
  }
}

template <bool kProduct, typename T>
Status cumulate(Arguments& in) {
  const std::int64_t outer = in.count(1);
  const std::int64_t length = in.count(2);
  const std::int64_t inner = in.count(3);
  const bool exclusive = in.flag(4);
  const bool reverse = in.flag(5);
  const std::int64_t total = in.product(1, 3);
  const T* x = in.buffer<T>(0, total);
  T* y = in.buffer<T>(1, total);
  if (!in.ok()) return in.status();
  if (total == 0) return {};
  const std::int64_t tiles = chunk_count(inner, kTile);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (length * std::min(inner, kTile)));
  parallel_for(outer * tiles, grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t column = i % tiles * kTile;
      const std::int64_t first = (i / tiles * length + (reverse ? length - 1 : 0)) * inner + column;
      run<kProduct>(x + first, y + first, length, reverse ? -inner : inner,
                    std::min(kTile, inner - column), exclusive);
    }
  });
  return {};
}

// buffers: x, y (two blocks). numbers: [dtype (float32 or int32), outer, length, inner, exclusive,
// reverse], x being [outer, length, inner].
template <bool kProduct>
Status cumulative(const OpArguments& arguments) {
  Arguments in(kProduct ? "Cumprod" : "Cumsum", arguments, 2, 6);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kBool) in.fail("float32 or int32", "bool");
  if (!in.ok()) return in.status();
  return dtype == DType::kFloat32 ? cumulate<kProduct, float>(in)
                                  : cumulate<kProduct, std::int32_t>(in);
}

}  // namespace

void register_cumulate(OpTable& table) {
  table.add("Cumprod", cumulative<true>);
  table.add("Cumsum", cumulative<false>);
}

}  // namespace dm::cpu
