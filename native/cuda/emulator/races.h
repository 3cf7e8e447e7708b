// SPDX-License-Identifier: Apache-2.0
// Finds accesses to the same byte, of which one writes, that nothing orders: not a barrier, not warp_sync within a warp, not the order of launches.
// Whatever the schedule, and also where a shuffle or another collective happens to keep lanes together, which a GPU does not promise. For it kernels are
// compiled with the calls that a thread sanitizer makes at each access (DIFFMAVIL_RACES=ON); without it all of this is nothing.
#pragma once

#include <cstddef>

namespace dm::cuda::emulator::races {

#ifdef DM_EMULATOR_RACES
/// Around the blocks of a launch, one after another.
void begin_launch();
void begin_block();
/// All threads of the block have met.
void met_block();
/// All lanes of the warp have met in warp_sync.
void met_warp(int warp);
/// What the running thread does to these bytes; stops the program where that is a race. `from`: the place in the program.
void access(const void* data, std::size_t bytes, bool writes, const void* from);
/// Bytes that a copy is on its way to belong to it until it has landed.
void copy_starts(const void* data, std::size_t bytes, const void* from);
void copy_landed(const void* data, std::size_t bytes, const void* from);
#else
inline void begin_launch() {}
inline void begin_block() {}
inline void met_block() {}
inline void met_warp(int) {}
inline void access(const void*, std::size_t, bool, const void*) {}
inline void copy_starts(const void*, std::size_t, const void*) {}
inline void copy_landed(const void*, std::size_t, const void*) {}
#endif

}  // namespace dm::cuda::emulator::races
