// SPDX-License-Identifier: Apache-2.0
// The places of the greatest and the smallest along one axis.
#include "cpu/simd/arg-reduce.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a task has at least
constexpr std::int64_t kTile = 512;     // columns that are searched together

template <typename T>
Status search(Arguments& in, const ArgKernels<T>& kernels) {
  const std::int64_t outer = in.count(1);
  const std::int64_t length = in.count(2);
  const std::int64_t inner = in.count(3);
  const T* x = in.buffer<T>(0, in.product(1, 3));
  std::int32_t* places = in.buffer<std::int32_t>(1, outer * inner);
  if (length > INT32_MAX) in.fail("a length of int32", std::to_string(length));
  if (!in.ok()) return in.status();
  if (length == 0) {
    std::fill(places, places + outer * inner, 0);
  } else if (inner == 1) {
    const std::int64_t grain = std::max<std::int64_t>(1, kGrain / length);
    parallel_for(outer, grain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) places[i] = kernels.row(x + i * length, length);
    });
  } else {
    const std::int64_t tiles = chunk_count(inner, kTile);
    parallel_for(outer * tiles, 1, [=](std::int64_t begin, std::int64_t end) {
      std::array<T, kTile> best;
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t column = i % tiles * kTile;
        const std::int64_t count = std::min(kTile, inner - column);
        kernels.rows(x + i / tiles * length * inner + column, inner, length, count, best.data(),
                     places + i / tiles * inner + column);
      }
    });
  }
  return {};
}

// buffers: x, y (int32 [outer, inner]). numbers: [dtype of x, outer, length, inner], x being
// [outer, length, inner]. 0 where length is.
template <bool kMost>
Status arg(const OpArguments& arguments) {
  Arguments in(kMost ? "ArgMax" : "ArgMin", arguments, 2, 4);
  const DType dtype = in.dtype(0);
  if (!in.ok()) return in.status();
  const ArgReduceKernels& kernels = DM_PICK(kArgReduce);
  if (dtype == DType::kFloat32) return search(in, kMost ? kernels.max : kernels.min);
  if (dtype == DType::kInt32) return search(in, kMost ? kernels.max_int : kernels.min_int);
  return search(in, kMost ? kernels.max_bool : kernels.min_bool);
}

}  // namespace

void register_arg_reduce(OpTable& table) {
  table.add("ArgMax", arg<true>);
  table.add("ArgMin", arg<false>);
}

}  // namespace dm::cpu
