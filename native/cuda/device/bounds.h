// SPDX-License-Identifier: Apache-2.0
// Tells the address sanitizer which bytes of a block are a buffer's, in the order of a stream. On a GPU that is for compute-sanitizer to see.
#pragma once

#include <cstddef>

#include "cuda/device/cuda-runtime.h"

#ifdef DM_CUDA_EMULATED
#include "cuda/emulator/bounds.h"
#endif

namespace dm::cuda {

#ifdef DM_CUDA_EMULATED
using emulator::forbid;
using emulator::permit;
#else
inline void permit(cudaStream_t, const void*, std::size_t) {}
inline void forbid(cudaStream_t, const void*, std::size_t) {}
#endif

/// The first bytes of a block, and no others.
inline void permit_only(cudaStream_t stream, const void* block, std::size_t bytes,
                        std::size_t block_bytes) {
  permit(stream, block, bytes);
  forbid(stream, static_cast<const char*>(block) + bytes, block_bytes - bytes);
}

}  // namespace dm::cuda
