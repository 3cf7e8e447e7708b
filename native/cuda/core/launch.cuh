// SPDX-License-Identifier: Apache-2.0
// Starts a kernel on the stream of a device, or on one of the emulator. Launchers (<stem>.cu) are compiled by nvcc and by a plain C++ compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "cuda/emulator/cuda-runtime.h"
#endif

#include "cuda/core/device.h"
#include "cuda/core/simt.cuh"

namespace dm::cuda {

/// Blocks along two axes, threads of a block, bytes of shared memory of a block.
struct Grid {
  std::int64_t blocks = 1;
  std::int64_t blocks_y = 1;
  int threads = 32;
  std::size_t shared_bytes = 0;
};

/// Runs kernel(arguments...) for every thread of `grid`; does nothing for a grid without blocks or after a fault. A fault goes to
/// device.status().
template <auto kKernel, class... Arguments>
void launch(Device& device, const Grid& grid, Arguments... arguments) {
  if (!device.status().ok() || grid.blocks == 0 || grid.blocks_y == 0) return;
  constexpr std::int64_t kMostBlocks = std::numeric_limits<int>::max();
  constexpr std::int64_t kMostBlocksY = 65535;
  if (grid.blocks > kMostBlocks || grid.blocks_y > kMostBlocksY) {
    device.fail({StatusCode::kUnsupported, "launch: expected at most 2^31-1 by 65535 blocks, got " +
                                               std::to_string(grid.blocks) + " by " +
                                               std::to_string(grid.blocks_y)});
    return;
  }
  // Each time: the limit is one of the device, and a process may use several.
  constexpr std::size_t kGiven = 48 * 1024;
  if (grid.shared_bytes > kGiven) {
    const cudaError_t raised =
        cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(grid.shared_bytes));
    if (raised != cudaSuccess) {
      // Told here: the next launch would find it as the last error.
      static_cast<void>(cudaGetLastError());
      device.fail({StatusCode::kUnsupported, std::string("launch: expected ") +
                                                 std::to_string(grid.shared_bytes) +
                                                 " bytes of shared memory, got " +
                                                 cudaGetErrorString(raised)});
      return;
    }
  }
#ifdef __CUDACC__
  const dim3 blocks(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y));
  kKernel<<<blocks, static_cast<unsigned>(grid.threads), grid.shared_bytes,
            static_cast<cudaStream_t>(device.stream())>>>(arguments...);
  const cudaError_t started = cudaPeekAtLastError();
#else
  const emulator::Launch size{.blocks = static_cast<int>(grid.blocks),
                              .blocks_y = static_cast<int>(grid.blocks_y),
                              .threads = grid.threads,
                              .shared_bytes = grid.shared_bytes,
                              .order = device.order()};
  const cudaError_t started =
      emulator::enqueue(device.stream(), reinterpret_cast<const void*>(kKernel), size,
                        [size, arguments...] { emulate(size, kKernel, arguments...); });
#endif
  device.launched(started == cudaSuccess ? nullptr : cudaGetErrorString(started));
}

/// Blocks of `size` that cover `count`.
constexpr std::int64_t blocks_for(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

}  // namespace dm::cuda
