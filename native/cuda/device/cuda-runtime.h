// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime: NVIDIA's, or the emulated one of the same names. What includes this is compiled against both.
#pragma once

#ifdef DM_CUDA_EMULATED
#include "cuda/emulator/cuda-runtime.h"
#else
#include <cuda_runtime_api.h>
#endif
