// SPDX-License-Identifier: Apache-2.0
// What a kernel body may use of the machine: threads, shared memory, warp collectives, tensor cores. Under nvcc these are the real
// instructions; under a plain C++ compiler they run on the emulator (emulator/simt-emulator.h), so that the same kernel bodies are tested
// without a GPU. Kernel files include this and nothing else of CUDA.
//
// Shapes of mma_m16n8k16 and load_matrix: PTX ISA 8.x, "Matrix multiply-accumulate operation using mma.sync" and "ldmatrix".
// A lane's share of a 16 x 16 A tile: rows lane/4 and lane/4 + 8, columns 2 (lane%4) + {0, 1} and + 8; of an 8-column B tile: column lane/4,
// rows 2 (lane%4) + {0, 1} and + 8; of a 16 x 8 C tile: rows lane/4 and lane/4 + 8, columns 2 (lane%4) + {0, 1}.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/core/bf16.cuh"

#ifdef __CUDACC__

#define DM_DEVICE __device__ __forceinline__
/// A kernel of at most `threads` threads a block, of which at least `blocks` shall fit on a multiprocessor.
#define DM_KERNEL(threads, blocks) static __global__ void __launch_bounds__(threads, blocks)
#define DM_UNROLL _Pragma("unroll")
/// For loops whose unrolled addresses would take registers.
#define DM_ROLLED _Pragma("unroll 1")

namespace dm::cuda {

DM_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
DM_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
DM_DEVICE int block_index() { return static_cast<int>(blockIdx.x); }
DM_DEVICE int block_index_y() { return static_cast<int>(blockIdx.y); }
DM_DEVICE int block_count() { return static_cast<int>(gridDim.x); }

DM_DEVICE void block_sync() { __syncthreads(); }
DM_DEVICE void warp_sync() { __syncwarp(); }

/// The block's dynamic shared memory, 128-byte aligned. There is no other.
DM_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char dm_shared_memory[];
  return dm_shared_memory;
}
DM_DEVICE std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// Shuffles take numbers of 4 or 8 bytes.

/// The value of lane ^ mask.
template <class T>
DM_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
/// The value of one lane, to all.
template <class T>
DM_DEVICE T shuffle(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
/// The value of lane - distance; the own one where there is no such lane.
template <class T>
DM_DEVICE T shuffle_up(T value, int distance) {
  return __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(distance));
}
/// Bit l is what lane l says.
DM_DEVICE std::uint32_t ballot(bool value) { return __ballot_sync(0xffffffffu, value); }
/// The place of the lowest bit that is set; there is one.
DM_DEVICE int lowest_bit(std::uint32_t word) { return __ffs(static_cast<int>(word)) - 1; }
/// How many bits are set.
DM_DEVICE int count_bits(std::uint32_t word) { return __popc(word); }

/// Four neighbours, of which the first is aligned to all four: one access.
template <class T>
struct alignas(4 * sizeof(T)) FourOf {
  T at[4];
};
template <class T>
DM_DEVICE FourOf<T> read_four(const T* from) {
  return *reinterpret_cast<const FourOf<T>*>(from);
}
template <class T>
DM_DEVICE void write_four(T* to, const FourOf<T>& values) {
  *reinterpret_cast<FourOf<T>*>(to) = values;
}

// Rounded to nearest on their own: no product is fused with a sum, as the compiler does elsewhere.
DM_DEVICE float add_rounded(float a, float b) { return __fadd_rn(a, b); }
DM_DEVICE double add_rounded(double a, double b) { return __dadd_rn(a, b); }
DM_DEVICE float subtract_rounded(float a, float b) { return __fsub_rn(a, b); }
DM_DEVICE float multiply_rounded(float a, float b) { return __fmul_rn(a, b); }
DM_DEVICE double multiply_rounded(double a, double b) { return __dmul_rn(a, b); }
DM_DEVICE float divide_rounded(float a, float b) { return __fdiv_rn(a, b); }
DM_DEVICE float square_root_rounded(float a) { return __fsqrt_rn(a); }

/// Starts a copy of 16 bytes to shared memory; zeros when not `valid`. Both sides 16-byte aligned. It is there after async_wait.
DM_DEVICE void async_copy16(std::uint32_t shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes)
               : "memory");
}
/// Closes a group of copies.
DM_DEVICE void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most kPending groups of this thread are under way; other threads' copies need a block_sync besides.
template <int kPending>
DM_DEVICE void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8 x 8 tiles of 16-bit numbers; lanes 8 i .. 8 i + 7 give the addresses of tile i's rows.
DM_DEVICE void load_matrix(std::uint32_t (&tiles)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(row)
               : "memory");
}
/// The same, each tile transposed.
DM_DEVICE void load_matrix_transposed(std::uint32_t (&tiles)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(row)
               : "memory");
}
/// An 8 x 8 tile of 16-bit numbers, as ldmatrix gives it, transposed.
DM_DEVICE std::uint32_t transpose_tile(std::uint32_t tile) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(tile));
  return transposed;
}
/// c [16, 8] += a [16, 16] b [16, 8]: bfloat16 products, float32 sums.
DM_DEVICE void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                            std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// 2^x to about 2 ulp.
DM_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace dm::cuda

#else

#define DM_DEVICE inline
#define DM_KERNEL(threads, blocks) [[maybe_unused]] static void
#define DM_UNROLL
#define DM_ROLLED

#include "cuda/emulator/simt-emulator.h"

#endif
