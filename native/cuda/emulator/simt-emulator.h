// SPDX-License-Identifier: Apache-2.0
// The instructions of core/simt.cuh for a plain C++ compiler: each thread of a block is a fiber, warp collectives wait for all 32 lanes, and
// the order in which warps run is chosen to bring mistakes to light. What it checks, and stops the program for:
//   a barrier that only part of a block reaches; lanes of a warp at different collectives; addresses outside shared memory or misaligned.
// What it makes visible: shared memory starts as 0xCB bytes; asynchronous copies land at the wait, as late as they may; a warp runs as far as
// it can before another moves, so that a missing barrier reads what is not there yet. What it cannot show: bank conflicts, time, weak order
// of memory within a warp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda/core/bf16.cuh"

namespace dm::cuda {

namespace emulator {

/// Size of a launch. `order` chooses which warp moves first: 0 ascending, 1 descending, others shuffled by it.
struct Launch {
  int blocks = 1;
  int blocks_y = 1;
  int threads = 32;
  std::size_t shared_bytes = 0;
  std::uint64_t order = 0;
};

/// Runs `body` in every thread of every block, one block after another.
void run(const Launch& launch, const std::function<void()>& body);

int thread_index();
int block_threads();
int block_index(int axis);
int block_count();
unsigned char* shared_memory();
std::uint32_t shared_address(const void* pointer);
void block_sync();
void warp_sync();
float shuffle(float value, int lane, int operation);
void async_copy16(std::uint32_t shared, const void* global, bool valid);
void async_commit();
void async_wait(int pending);
void load_matrix(std::uint32_t (&tiles)[4], std::uint32_t row, bool transposed);
void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

}  // namespace emulator

/// Runs kernel(arguments...) as `kernel<<<...>>>` would.
template <class Kernel, class... Arguments>
void emulate(const emulator::Launch& launch, Kernel kernel, const Arguments&... arguments) {
  emulator::run(launch, [&] { kernel(arguments...); });
}

inline int thread_index() { return emulator::thread_index(); }
inline int block_threads() { return emulator::block_threads(); }
inline int block_index() { return emulator::block_index(0); }
inline int block_index_y() { return emulator::block_index(1); }
inline int block_count() { return emulator::block_count(); }
inline void block_sync() { emulator::block_sync(); }
inline void warp_sync() { emulator::warp_sync(); }
inline unsigned char* shared_memory() { return emulator::shared_memory(); }
inline std::uint32_t shared_address(const void* pointer) {
  return emulator::shared_address(pointer);
}
inline float shuffle_xor(float value, int mask) {
  return emulator::shuffle(value, emulator::thread_index() % 32 ^ mask, 64 + mask);
}
inline float shuffle(float value, int lane) { return emulator::shuffle(value, lane, 32 + lane); }
inline void async_copy16(std::uint32_t shared, const void* global, bool valid) {
  emulator::async_copy16(shared, global, valid);
}
inline void async_commit() { emulator::async_commit(); }
template <int kPending>
void async_wait() {
  emulator::async_wait(kPending);
}
inline void load_matrix(std::uint32_t (&tiles)[4], std::uint32_t row) {
  emulator::load_matrix(tiles, row, false);
}
inline void load_matrix_transposed(std::uint32_t (&tiles)[4], std::uint32_t row) {
  emulator::load_matrix(tiles, row, true);
}
inline void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                         std::uint32_t b1) {
  emulator::mma_m16n8k16(c, a, b0, b1);
}
inline float exp2_fast(float x) { return __builtin_exp2f(x); }

}  // namespace dm::cuda
