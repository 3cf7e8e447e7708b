// SPDX-License-Identifier: Apache-2.0
// The instructions of core/simt.cuh for a plain C++ compiler: each thread of a block is a fiber, warp collectives wait for all 32 lanes, and
// the order in which warps run is chosen to bring mistakes to light. What it checks, and stops the program for:
//   a barrier that only part of a block reaches; lanes of a warp at different collectives; addresses outside shared memory or misaligned.
// What it makes visible: shared memory starts as 0xCB bytes; asynchronous copies land at the wait, as late as they may; a warp runs as far as
// it can before another moves, and so does a lane, so that a missing barrier reads what is not there yet. Compiled with DIFFMAVIL_RACES=ON it
// finds accesses that nothing orders, whatever the schedule (races.h). What it cannot show: bank conflicts, time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda/core/bf16.cuh"
#include "cuda/emulator/races.h"

namespace dm::cuda {

namespace emulator {

/// Size of a launch. `order` chooses which warp and which lane moves first: 0 ascending, 1 descending, others shuffled by it.
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
/// Whether a thread runs; and what it may see.
bool in_kernel();
std::size_t shared_bytes();
bool owns_shared(const void* data);
bool owns_stack(const void* data);
std::uint32_t shared_address(const void* pointer);
void block_sync();
void warp_sync();
std::uint64_t shuffle(std::uint64_t value, int lane, int operation);
std::uint32_t ballot(bool value);
/// Stops the program unless the address is aligned to `bytes`.
void check_aligned(const void* pointer, std::size_t bytes);
void async_copy16(std::uint32_t shared, const void* global, bool valid);
void async_commit();
void async_wait(int pending);
void load_matrix(std::uint32_t (&tiles)[4], std::uint32_t row, bool transposed);
std::uint32_t transpose_tile(std::uint32_t tile);
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
template <class T>
T shuffle_from(T value, int lane, int operation) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  word = emulator::shuffle(word, lane, operation);
  std::memcpy(&value, &word, sizeof value);
  return value;
}
template <class T>
T shuffle_xor(T value, int mask) {
  return shuffle_from(value, emulator::thread_index() % 32 ^ mask, 64 + mask);
}
template <class T>
T shuffle(T value, int lane) {
  return shuffle_from(value, lane, 32 + lane);
}
template <class T>
T shuffle_up(T value, int distance) {
  const int lane = emulator::thread_index() % 32;
  return shuffle_from(value, lane < distance ? lane : lane - distance, 96 + distance);
}
inline std::uint32_t ballot(bool value) { return emulator::ballot(value); }
inline int lowest_bit(std::uint32_t word) { return __builtin_ctz(word); }
inline int count_bits(std::uint32_t word) { return __builtin_popcount(word); }

template <class T>
struct alignas(4 * sizeof(T)) FourOf {
  T at[4];
};
template <class T>
FourOf<T> read_four(const T* from) {
  emulator::check_aligned(from, sizeof(FourOf<T>));
  emulator::races::access(from, sizeof(FourOf<T>), false, __builtin_return_address(0));
  FourOf<T> values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
template <class T>
void write_four(T* to, const FourOf<T>& values) {
  emulator::check_aligned(to, sizeof(FourOf<T>));
  emulator::races::access(to, sizeof(FourOf<T>), true, __builtin_return_address(0));
  std::memcpy(to, &values, sizeof values);
}

/// A result that is not to be fused with what follows: kernels are compiled as nvcc does it, products fused with sums, where the processor can.
template <class T>
T rounded(T value) {
#ifdef __FMA__
  asm volatile("" : "+x"(value));
#endif
  return value;
}
inline float add_rounded(float a, float b) { return rounded(a + b); }
inline double add_rounded(double a, double b) { return rounded(a + b); }
inline float subtract_rounded(float a, float b) { return rounded(a - b); }
inline float multiply_rounded(float a, float b) { return rounded(a * b); }
inline double multiply_rounded(double a, double b) { return rounded(a * b); }
inline float divide_rounded(float a, float b) { return a / b; }
inline float square_root_rounded(float a) { return __builtin_sqrtf(a); }
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
inline std::uint32_t transpose_tile(std::uint32_t tile) { return emulator::transpose_tile(tile); }
inline void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                         std::uint32_t b1) {
  emulator::mma_m16n8k16(c, a, b0, b1);
}
inline float exp2_fast(float x) { return __builtin_exp2f(x); }

}  // namespace dm::cuda
