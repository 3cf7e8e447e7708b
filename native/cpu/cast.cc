// SPDX-License-Identifier: Apache-2.0
// Conversions between dtypes, as tfjs's Cast defines them.
#include <cmath>
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "core/to-int32.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;

constexpr std::int64_t kGrain = 32768;  // elements a chunk

/// A block at a time, so that numbers outside the range of int32 cost only the block they are in.
void to_ints(const float* x, Int* y, std::int64_t count) {
  constexpr std::int64_t kBlock = 256;
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t end = start + kBlock < count ? start + kBlock : count;
    int outside = 0;
    for (std::int64_t i = start; i < end; ++i) {
      const bool inside = std::abs(x[i]) < 2147483648.0f;  // not NaN either
      outside |= !inside;
      y[i] = static_cast<Int>(inside ? x[i] : 0.0f);
    }
    if (outside == 0) continue;
    for (std::int64_t i = start; i < end; ++i) y[i] = to_int32(static_cast<double>(x[i]));
  }
}

template <typename T>
void to_bools(const T* x, Bool* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] != T{0};
}

template <typename T, typename R>
void to_wider(const T* x, R* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = static_cast<R>(x[i]);
}

template <typename T, typename R>
Status convert(Arguments& in, std::int64_t count, void (*kernel)(const T*, R*, std::int64_t)) {
  const T* x = in.buffer<T>(0, count);
  R* y = in.buffer<R>(1, count);
  if (!in.ok()) return in.status();
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    kernel(x + begin, y + begin, end - begin);
  });
  return {};
}

// buffers: x, y (two blocks). numbers: [dtype of x, dtype of y, count]; two different dtypes. To
// int32: towards zero, modulo 2^32, NaN and infinities to 0; to bool: 1 unless 0; to float32: the
// nearest.
Status cast(const OpArguments& arguments) {
  Arguments in("Cast", arguments, 2, 3);
  const DType from = in.dtype(0);
  const DType to = in.dtype(1);
  const std::int64_t count = in.count(2);
  if (from == to) in.fail("two different dtypes", "the same");
  if (!in.ok()) return in.status();
  switch (from) {
    case DType::kFloat32:
      return to == DType::kInt32 ? convert<float, Int>(in, count, to_ints)
                                 : convert<float, Bool>(in, count, to_bools);
    case DType::kInt32:
      return to == DType::kFloat32 ? convert<Int, float>(in, count, to_wider)
                                   : convert<Int, Bool>(in, count, to_bools);
    case DType::kBool:
      break;
  }
  return to == DType::kFloat32 ? convert<Bool, float>(in, count, to_wider)
                               : convert<Bool, Int>(in, count, to_wider);
}

}  // namespace

void register_cast(OpTable& table) { table.add("Cast", cast); }

}  // namespace dm::cpu
