// SPDX-License-Identifier: Apache-2.0
// Before a function that the processor runs and, compiled by nvcc, a device too.
#pragma once

#ifdef __CUDACC__
#define DM_BOTH __host__ __device__ __forceinline__
#else
#define DM_BOTH inline
#endif
