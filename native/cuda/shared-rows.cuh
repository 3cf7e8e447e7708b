// SPDX-License-Identifier: Apache-2.0
// Rows of heads in bfloat16, in memory and in shared memory, and the fragments that matrix instructions take of them (core/simt.cuh).
#pragma once

#include "cuda/core/reduce.cuh"

namespace dm::cuda {

/// Rows of all samples: row r at `stride` elements times r, head h in columns [h D, (h + 1) D); 16-byte aligned.
struct Bf16Rows {
  bf16* data;
  std::int64_t stride;
};

/// Rows of kColumns bfloat16 (32 or 64) in shared memory. The 16-byte parts of a row are permuted by row, so that the eight rows of an
/// 8 x 8 tile lie in different banks.
template <int kColumns>
struct SharedRows {
  static constexpr int kParts = kColumns / 8;

  DM_DEVICE static std::uint32_t offset(int row, int part) {
    const int permuted = kColumns == 64 ? part ^ (row & 7) : part ^ ((row >> 1) & 3);
    return static_cast<std::uint32_t>(row * kColumns * 2 + permuted * 16);
  }
  /// The lane's address for fragments of 16 rows from `row` on by 16 columns: rows along the lanes of A or, for two tiles of 8 columns,
  /// along those of B transposed. `tile` is a multiple of 128.
  DM_DEVICE static std::uint32_t rows16(std::uint32_t tile, int row) {
    const int lane = thread_index() % kWarp;
    return tile + offset(row + lane % 16, lane / 16);
  }
  /// The lane's address for fragments of B: two tiles of 8 columns, which are rows here, by 16 deep.
  DM_DEVICE static std::uint32_t columns16(std::uint32_t tile, int row) {
    const int lane = thread_index() % kWarp;
    return tile + offset(row + lane % 8 + lane / 16 * 8, lane / 8 % 2);
  }
  /// An address of part 0 (or of parts 0 and 1, for a multiple of 2) so many rows, a multiple of 8, and parts further.
  DM_DEVICE static std::uint32_t further(std::uint32_t at, int rows, int parts) {
    return (at ^ static_cast<std::uint32_t>(parts * 16)) +
           static_cast<std::uint32_t>(rows * kColumns * 2);
  }

  /// Starts copies of rows first .. first + kRows of `from`; zero from `rows` on.
  template <int kRows, int kThreads>
  DM_DEVICE static void copy(std::uint32_t to, const bf16* from, std::int64_t stride, int first,
                             int rows) {
    DM_ROLLED
    for (int i = thread_index(); i < kRows * kParts; i += kThreads) {
      const int row = i / kParts;
      const bool there = first + row < rows;
      async_copy16(to + offset(row, i % kParts),
                   from + (there ? (first + row) * stride : 0) + i % kParts * 8, there);
    }
  }
};

/// The fragment A of 16 x 16 of two 16 x 8 tiles of sums.
DM_DEVICE void pack_fragment(std::uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pack_bf16(left[0], left[1]);
  a[1] = pack_bf16(left[2], left[3]);
  a[2] = pack_bf16(right[0], right[1]);
  a[3] = pack_bf16(right[2], right[3]);
}

}  // namespace dm::cuda
