// SPDX-License-Identifier: Apache-2.0
// Copies a buffer: for complex tensors, whose parts are buffers of their own.
#include <cstddef>
#include <cstring>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 262144;  // bytes a chunk

// buffers: x, y. numbers: [bytes].
Status copy(const OpArguments& arguments) {
  Arguments in("Copy", arguments, 2, 1);
  const std::int64_t count = in.count(0);
  const std::byte* x = in.buffer<std::byte>(0, count);
  std::byte* y = in.buffer<std::byte>(1, count);
  if (!in.ok()) return in.status();
  if (x == y) return {};
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    std::memcpy(y + begin, x + begin, static_cast<std::size_t>(end - begin));
  });
  return {};
}

}  // namespace

void register_copy(OpTable& table) { table.add("Copy", copy); }

}  // namespace dm::cpu
