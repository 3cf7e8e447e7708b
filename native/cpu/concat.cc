// SPDX-License-Identifier: Apache-2.0
// Tensors side by side along an axis, and the other way.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/concat-arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 65536;  // bytes a chunk

struct Chunk {
  std::size_t part;
  std::int64_t begin, end;
};

std::vector<Chunk> chunks_of(const ConcatArguments& given) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < given.parts.size(); ++i) {
    const std::int64_t count = given.outer * given.parts[i].inner;
    for (std::int64_t begin = 0; begin < count; begin += kGrain) {
      chunks.push_back({i, begin, std::min(count, begin + kGrain)});
    }
  }
  return chunks;
}

/// Calls move(part bytes, whole bytes, length) for every stretch that is contiguous in both.
template <typename Move>
void for_each_stretch(const ConcatArguments& given, const Move& move) {
  const std::vector<Chunk> chunks = chunks_of(given);
  parallel_for(static_cast<std::int64_t>(chunks.size()), 1, [&](std::int64_t at, std::int64_t) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(at)];
    const ConcatArguments::Part& part = given.parts[chunk.part];
    for (std::int64_t i = chunk.begin; i < chunk.end;) {
      const std::int64_t column = i % part.inner;
      const std::int64_t length = std::min(part.inner - column, chunk.end - i);
      std::byte* whole = given.whole + i / part.inner * given.row + part.offset + column;
      move(part.data + i, whole, static_cast<std::size_t>(length));
      i += length;
    }
  });
}

Status concat(const OpArguments& arguments) {
  const ConcatArguments given("Concat", arguments, false);
  if (!given.in.ok()) return given.in.status();
  for_each_stretch(given, [](const std::byte* part, std::byte* whole, std::size_t length) {
    std::memcpy(whole, part, length);
  });
  return {};
}

Status split(const OpArguments& arguments) {
  const ConcatArguments given("SplitV", arguments, true);
  if (!given.in.ok()) return given.in.status();
  for_each_stretch(given, [](std::byte* part, const std::byte* whole, std::size_t length) {
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
