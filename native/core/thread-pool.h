// SPDX-License-Identifier: Apache-2.0
// One pool of threads for all ops. Work is cut into chunks of a fixed size, whatever the number of
// threads, so partial results combined in chunk order are equal bit for bit for any
// DIFFMAVIL_THREADS.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace dm {

/// Threads this process should use by default: DIFFMAVIL_THREADS, else the physical cores it may
/// run on (affinity and the container's processor quota count).
int default_threads();

/// How many threads the ops use now, the caller's included.
int threads();

/// 1..256; takes effect for the next op.
void set_threads(int count);

namespace detail {
using ChunkFunction = void (*)(const void* context, std::int64_t chunk);
void run_chunks(std::int64_t chunks, ChunkFunction function, const void* context);
}  // namespace detail

inline std::int64_t chunk_count(std::int64_t count, std::int64_t grain) {
  return (count + grain - 1) / grain;
}

/// Calls `fn(begin, end)` for [0, grain), [grain, 2 grain), … up to `count`, on several threads,
/// each chunk once; returns when all are done. `begin / grain` is the index of the chunk. `fn` must
/// not throw. A call from inside `fn`, or while another JavaScript thread has the pool, runs on the
/// calling thread alone, with the same chunks.
template <typename Fn>
void parallel_for(std::int64_t count, std::int64_t grain, const Fn& fn) {
  struct Context {
    std::int64_t count;
    std::int64_t grain;
    const Fn& fn;
  };
  const Context context{count, grain < 1 ? 1 : grain, fn};
  detail::run_chunks(
      chunk_count(count, context.grain),
      [](const void* opaque, std::int64_t chunk) {
        const auto& [total, size, body] = *static_cast<const Context*>(opaque);
        const std::int64_t begin = chunk * size;
        body(begin, begin + size < total ? begin + size : total);
      },
      &context);
}

/// `combine(partial_0, partial_1, …)` left to right of `map(begin, end)` over fixed chunks; `zero`
/// for no elements.
template <typename T, typename Map, typename Combine>
T parallel_reduce(std::int64_t count, std::int64_t grain, T zero, const Map& map,
                  const Combine& combine) {
  std::vector<T> partials(static_cast<std::size_t>(chunk_count(count, grain)), zero);
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    partials[static_cast<std::size_t>(begin / grain)] = map(begin, end);
  });
  T result = zero;
  for (const T& partial : partials) result = combine(result, partial);
  return result;
}

}  // namespace dm
