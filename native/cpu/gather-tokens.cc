// SPDX-License-Identifier: Apache-2.0
// The tokens of each sample at its own indices, and back onto zeros: packages/core/src/ops/gather-tokens.ts.
//
// B batch, T tokens, N indices of a sample, C width.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/indices.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 65536;  // bytes a chunk

std::int64_t rows_per_chunk(std::int64_t row_bytes) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, row_bytes));
}

// buffers: x [B, T, C], indices int32 [B, N], y [B, N, C]. numbers: [dtype, B, T, N, C].
Status gather(const OpArguments& arguments) {
  Arguments in("DmGatherTokens", arguments, 3, 5);
  const std::size_t size = Arguments::size_of(in.dtype(0));
  const std::int64_t tokens = in.count(2);
  const std::int64_t count = in.count(3);
  const std::int64_t width = in.count(4);
  const std::int64_t rows = in.elements({in.count(1), count});
  const auto* x = static_cast<const std::byte*>(
      in.bytes(0, in.elements({in.count(1), tokens, width}), size));
  const std::int32_t* indices = in.buffer<std::int32_t>(1, rows);
  auto* y = static_cast<std::byte*>(in.bytes(2, in.elements({rows, width}), size));
  check_indices(in, indices, rows, tokens);
  if (!in.ok()) return in.status();
  const std::int64_t row = width * static_cast<std::int64_t>(size);
  if (rows * row == 0) return {};
  parallel_for(rows, rows_per_chunk(row), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t from = i / count * tokens + indices[i];
      std::memcpy(y + i * row, x + from * row, static_cast<std::size_t>(row));
    }
  });
  return {};
}

template <typename T>
void sum_row(const T* x, std::int64_t width, const Places& places, std::int64_t place, T* y) {
  std::memcpy(y, x + place * width, static_cast<std::size_t>(width) * sizeof(T));
  for (place = places.next[static_cast<std::size_t>(place)]; place >= 0;
       place = places.next[static_cast<std::size_t>(place)]) {
    const T* more = x + place * width;
    for (std::int64_t i = 0; i < width; ++i) y[i] = static_cast<T>(y[i] + more[i]);
  }
}

template <typename T>
Status scatter_rows(Arguments& in) {
  const std::int64_t tokens = in.count(2);
  const std::int64_t count = in.count(3);
  const std::int64_t width = in.count(4);
  const std::int64_t all = in.elements({in.count(1), tokens});
  const std::int64_t given = in.elements({in.count(1), count});
  const T* x = in.buffer<T>(0, in.elements({given, width}));
  const std::int32_t* indices = in.buffer<std::int32_t>(1, given);
  T* y = in.buffer<T>(2, in.elements({all, width}));
  check_indices(in, indices, given, tokens);
  if (all > INT32_MAX) in.fail("at most 2^31 - 1 tokens", std::to_string(all));
  if (!in.ok()) return in.status();
  if (all * width == 0) return {};
  std::vector<std::int32_t> targets(static_cast<std::size_t>(given));
  for (std::int64_t i = 0; i < given; ++i) {
    targets[static_cast<std::size_t>(i)] =
        static_cast<std::int32_t>(i / count * tokens) + indices[i];
  }
  const Places places(targets.data(), given, all);
  const std::int64_t grain = rows_per_chunk(width * static_cast<std::int64_t>(sizeof(T)));
  parallel_for(all, grain, [=, &places](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t place = places.first[static_cast<std::size_t>(row)];
      if (place < 0) {
        std::fill_n(y + row * width, width, T{0});
      } else {
        sum_row(x, width, places, place, y + row * width);
      }
    }
  });
  return {};
}

// buffers: x [B, N, C], indices int32 [B, N], y [B, T, C]. numbers: [dtype, B, T, N, C]. Equal indices add up in rising order.
Status scatter(const OpArguments& arguments) {
  Arguments in("DmScatterTokens", arguments, 3, 5);
  switch (in.dtype(0)) {
    case DType::kFloat32:
      return scatter_rows<float>(in);
    case DType::kInt32:  // unsigned: sums wrap around
      return scatter_rows<std::uint32_t>(in);
    case DType::kBool:
      break;
  }
  in.fail("float32 or int32", "bool");
  return in.status();
}

}  // namespace

void register_gather_tokens(OpTable& table) {
  table.add("DmGatherTokens", gather);
  table.add("DmScatterTokens", scatter);
}

}  // namespace dm::cpu
