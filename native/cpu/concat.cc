// SPDX-License-Identifier: Apache-2.0
// Tensors side by side along an axis, and the other way: Concat and Pack, SplitV and Unpack of native/src/kernels. Everything before the
// axis is `outer`; a part is [outer, inner elements of its own].
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 65536;  // bytes a chunk

/// In bytes.
struct Part {
  std::byte* data;
  std::int64_t inner, offset;
};

struct Chunk {
  std::size_t part;
  std::int64_t begin, end;
};

struct Plan {
  std::vector<Part> parts;
  std::byte* whole = nullptr;
  std::int64_t row = 0;  ///< bytes of all parts for one step of outer
  std::vector<Chunk> chunks;
};

/// numbers: [elementBytes, outer, inner of each part]; buffers: the parts from `first` on, the whole at `whole`.
Plan read_plan(Arguments& in, std::size_t first, std::size_t whole) {
  Plan plan;
  const std::int64_t size = in.count(0);
  const std::int64_t outer = in.count(1);
  const std::size_t parts = in.number_count() - 2;
  for (std::size_t i = 0; i < parts && in.ok(); ++i) {
    const std::int64_t inner = in.elements({in.count(2 + i), size});
    const std::int64_t count = in.elements({outer, inner});
    plan.parts.push_back({in.buffer<std::byte>(first + i, count), inner, plan.row});
    plan.row += inner;
    if (plan.row > kMaxCount) in.fail("at most 2^53 - 1 bytes", "more");
    for (std::int64_t begin = 0; begin < count && in.ok(); begin += kGrain) {
      plan.chunks.push_back({i, begin, std::min(count, begin + kGrain)});
    }
  }
  plan.whole = in.buffer<std::byte>(whole, in.elements({outer, plan.row}));
  return plan;
}

/// Calls move(part bytes, whole bytes, length) for every stretch that is contiguous in both.
template <typename Move>
void for_each_stretch(const Plan& plan, const Move& move) {
  parallel_for(static_cast<std::int64_t>(plan.chunks.size()), 1,
               [&](std::int64_t at, std::int64_t) {
                 const Chunk& chunk = plan.chunks[static_cast<std::size_t>(at)];
                 const Part& part = plan.parts[chunk.part];
                 for (std::int64_t i = chunk.begin; i < chunk.end;) {
                   const std::int64_t column = i % part.inner;
                   const std::int64_t length = std::min(part.inner - column, chunk.end - i);
                   std::byte* whole =
                       plan.whole + i / part.inner * plan.row + part.offset + column;
                   move(part.data + i, whole, static_cast<std::size_t>(length));
                   i += length;
                 }
               });
}

// buffers: parts, y. numbers: [elementBytes, outer, inner of each part].
Status concat(const OpArguments& arguments) {
  Arguments in("Concat", arguments, arguments.number_count - 1, 2);
  if (!in.ok()) return in.status();
  const Plan plan = read_plan(in, 0, in.number_count() - 2);
  if (!in.ok()) return in.status();
  for_each_stretch(plan, [](const std::byte* part, std::byte* whole, std::size_t length) {
    std::memcpy(whole, part, length);
  });
  return {};
}

// buffers: x, parts. numbers: [elementBytes, outer, inner of each part].
Status split(const OpArguments& arguments) {
  Arguments in("SplitV", arguments, arguments.number_count - 1, 2);
  if (!in.ok()) return in.status();
  const Plan plan = read_plan(in, 1, 0);
  if (!in.ok()) return in.status();
  for_each_stretch(plan, [](std::byte* part, const std::byte* whole, std::size_t length) {
    std::memcpy(part, whole, length);
  });
  return {};
}

}  // namespace

void register_concat(OpTable& table) {
  table.add("Concat", concat);
  table.add("SplitV", split);
}

}  // namespace dm::cpu
