// SPDX-License-Identifier: Apache-2.0
// What lies behind each buffer, and behind each piece of scratch, where the address sanitizer watches the emulated device: bytes that nobody may
// use, so that a kernel that goes one element too far does not land in its neighbour. Elsewhere nothing lies there.
#pragma once

#include <cstddef>

namespace dm::cuda {

#ifdef DM_EMULATOR_BOUNDS
constexpr std::size_t kRedZone = 256;
#else
constexpr std::size_t kRedZone = 0;
#endif

}  // namespace dm::cuda
