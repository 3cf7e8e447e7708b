// SPDX-License-Identifier: Apache-2.0
// Launches of core/elementwise.cuh.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "cuda/core/elementwise.cuh"
#include "cuda/core/launch.cuh"

namespace dm::cuda {

constexpr std::int64_t kElementwiseBlocks = 16;  // a multiprocessor

/// Whether every pointer is aligned to `bytes`.
inline bool all_aligned(std::initializer_list<const void*> pointers, std::size_t bytes) {
  return std::all_of(pointers.begin(), pointers.end(), [bytes](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
  });
}

/// Runs `body` for 0..count-1, by fours if `fours`.
template <class Body>
void launch_elementwise(Device& device, const Body& body, std::int64_t count, bool fours) {
  const Elements n{.fours = fours ? count / 4 : 0, .count = count};
  const std::int64_t threads = std::max(n.fours, count - 4 * n.fours);
  const Grid grid{.blocks = std::min(blocks_for(threads, kElementwiseThreads),
                                     kElementwiseBlocks * device.multiprocessors()),
                  .threads = kElementwiseThreads};
  launch<elementwise<Body>>(device, grid, body, n);
}

/// Runs y[i] = function(x[i]).
template <class F, class T, class R>
void launch_map(Device& device, const T* x, R* y, std::int64_t count, F function) {
  launch_elementwise(device, Map<F, T, R>{x, y, function}, count,
                     all_aligned({x}, 4 * sizeof(T)) && all_aligned({y}, 4 * sizeof(R)));
}

}  // namespace dm::cuda
