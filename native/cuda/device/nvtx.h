// SPDX-License-Identifier: Apache-2.0
// Ranges for profilers, where the toolkit has the header; without it, and without a profiler, nothing.
#pragma once

#if !defined(DM_CUDA_EMULATED) && __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define DM_CUDA_NVTX 1
#endif

namespace dm::cuda {

inline void nvtx_push([[maybe_unused]] const char* name) {
#ifdef DM_CUDA_NVTX
  nvtxRangePushA(name);
#endif
}

inline void nvtx_pop() {
#ifdef DM_CUDA_NVTX
  nvtxRangePop();
#endif
}

}  // namespace dm::cuda
