// SPDX-License-Identifier: Apache-2.0
// What the address sanitizer lets work on a stream use, from here on in its order; without the sanitizer, nothing.
#pragma once

#include <cstddef>

#include "cuda/emulator/cuda-runtime.h"

namespace dm::cuda::emulator {

void permit(cudaStream_t stream, const void* data, std::size_t bytes);
/// Work that uses these bytes stops the program.
void forbid(cudaStream_t stream, const void* data, std::size_t bytes);

}  // namespace dm::cuda::emulator
