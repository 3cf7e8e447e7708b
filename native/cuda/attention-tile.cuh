// SPDX-License-Identifier: Apache-2.0
// Tiles of attention in float32 without tensor cores: S x S threads, each with M x M pairs of a tile of N x N (N = S M), and M rows of a
// chunk of 64 columns. Head widths past 64 are read in chunks; a block computes one chunk of the output's columns.
//
// B batch, W windows of a sample (1 without), H heads, Q queries and K keys of a window or sample, D head width, N tile, S side, M per thread.
#pragma once

#include "core/window-grid.h"
#include "cuda/core/simt.cuh"

namespace dm::cuda {

constexpr int kChunk = 64;               // columns of a head that are in shared memory at a time
constexpr int kChunkPitch = kChunk + 4;  // floats from row to row: 16-byte loads of 8 rows reach all banks

/// Rows of all samples: row r at `stride` elements times r, head h in columns [h D, (h + 1) D).
template <class T>
struct HeadRows {
  T* data;
  std::int64_t stride;
};

/// What the passes share.
template <class T>
struct AttentionInputs {
  HeadRows<const T> query;  ///< [B * sample_queries, H D]
  HeadRows<const T> key;    ///< [B * sample_keys, H D]
  HeadRows<const T> value;  ///< [B * sample_keys, H D]
  const float* table;       ///< [table rows, H], or null
  WindowGrid grid;
  std::int64_t sample_queries, sample_keys;
  int queries, keys;  ///< Q, K
  int windows;        ///< W
  int heads, width;   ///< H, D
  float scale;        ///< 1 / sqrt(D)
  bool vectors;       ///< whether four elements from a multiple of four are aligned, in every matrix
};

using Four = FourOf<float>;

DM_DEVICE Four load_four(const float* from) { return read_four(from); }
DM_DEVICE Four load_four(const bf16* from) {
  const FourOf<bf16> halves = read_four(from);
  return {{to_float(halves.at[0]), to_float(halves.at[1]), to_float(halves.at[2]),
           to_float(halves.at[3])}};
}
DM_DEVICE void store(float* to, float value) { *to = value; }
DM_DEVICE void store(bf16* to, float value) { *to = to_bf16(value); }

/// Places of the rows of a tile, in shared memory: with windows only.
struct TilePlaces {
  int* token;   ///< [N]: of the grid
  int* code;    ///< [N]: WindowGrid::code
  int* region;  ///< [N]
};

/// The sequence and head that a block works on.
struct HeadOfWindow {
  std::int64_t sample;
  int window, head;
};

template <int kTile, int kSide>
struct Tile {
  static constexpr int kThreads = kSide * kSide;
  static constexpr int kEach = kTile / kSide;        // M
  static constexpr int kColumns = kChunk / kSide;    // of a chunk, of a thread: whole fours
  static constexpr int kPitch = kTile + 4;           // floats from row to row of pairs
  static constexpr int kPairs = kTile * kPitch;      // floats
  static constexpr int kStaged = kTile * kChunkPitch;  // floats
  static constexpr int kPlaces = 3 * kTile;          // ints

  using Pairs = float[kEach][kEach];
  using Columns = float[kEach][kColumns];

  /// The thread's rows and columns of pairs: row() + S i, column() + S j.
  DM_DEVICE static int row() { return thread_index() / kSide; }
  DM_DEVICE static int column() { return thread_index() % kSide; }

  DM_DEVICE static TilePlaces places(int* memory) {
    return {memory, memory + kTile, memory + 2 * kTile};
  }
  DM_DEVICE static void find_places(const WindowGrid& grid, int window, int first, int rows,
                                    const TilePlaces& to) {
    for (int i = thread_index(); i < kTile; i += kThreads) {
      const int place = first + i < rows ? first + i : 0;
      to.token[i] = grid.token(window, place);
      to.code[i] = grid.code(place);
      to.region[i] = grid.region(window, place);
    }
  }

  /// to [N, 64] = rows first .. of a sample, or of the tokens, columns from `column` on of one head; zero where there is none.
  template <class T, class TokenOf>
  DM_DEVICE static void stage(float* to, const AttentionInputs<T>& p, const HeadRows<const T>& from,
                              std::int64_t sample_row, int rows, TokenOf token, int head,
                              int column) {
    for (int i = thread_index(); i < kTile * (kChunk / 4); i += kThreads) {
      const int row = i / (kChunk / 4);
      const int c = column + i % (kChunk / 4) * 4;
      Four four = {};
      if (row < rows && c < p.width) {
        const T* source = from.data + (sample_row + token(row)) * from.stride +
                          static_cast<std::int64_t>(head) * p.width + c;
        if (p.vectors) {
          four = load_four(source);
        } else {
          for (int e = 0; e < 4 && c + e < p.width; ++e) four.at[e] = to_float(source[e]);
        }
      }
      write_four(to + row * kChunkPitch + i % (kChunk / 4) * 4, four);
    }
  }

  /// pairs += own [N, 64] · other [N, 64] transposed.
  DM_DEVICE static void add_products(Pairs& pairs, const float* own, const float* other) {
    DM_UNROLL
    for (int c = 0; c < kChunk; c += 4) {
      Four right[kEach];
      DM_UNROLL
      for (int j = 0; j < kEach; ++j) {
        right[j] = load_four(other + (column() + kSide * j) * kChunkPitch + c);
      }
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) {
        const Four left = load_four(own + (row() + kSide * i) * kChunkPitch + c);
        DM_UNROLL
        for (int j = 0; j < kEach; ++j) {
          DM_UNROLL
          for (int e = 0; e < 4; ++e) pairs[i][j] = fmaf(left.at[e], right[j].at[e], pairs[i][j]);
        }
      }
    }
  }

  /// sums += pairs [N, N] · other [N, 64], of the thread's columns 4 (column() + S k) ..
  DM_DEVICE static void add_weighted(Columns& sums, const float* pairs, const float* other) {
    DM_UNROLL
    for (int c = 0; c < kTile; c += 4) {
      Four weights[kEach];
      DM_UNROLL
      for (int i = 0; i < kEach; ++i) weights[i] = load_four(pairs + (row() + kSide * i) * kPitch + c);
      DM_UNROLL
      for (int e = 0; e < 4; ++e) {
        DM_UNROLL
        for (int k = 0; k < kColumns / 4; ++k) {
          const Four right = load_four(other + (c + e) * kChunkPitch + 4 * (column() + kSide * k));
          DM_UNROLL
          for (int i = 0; i < kEach; ++i) {
            DM_UNROLL
            for (int f = 0; f < 4; ++f) {
              sums[i][4 * k + f] = fmaf(weights[i].at[e], right.at[f], sums[i][4 * k + f]);
            }
          }
        }
      }
    }
  }

  DM_DEVICE static void store_pairs(float* to, const Pairs& pairs) {
    DM_UNROLL
    for (int i = 0; i < kEach; ++i) {
      DM_UNROLL
      for (int j = 0; j < kEach; ++j) {
        to[(row() + kSide * i) * kPitch + column() + kSide * j] = pairs[i][j];
      }
    }
  }

  /// Writes the thread's row i of `sums` times `factor` to the head's columns from `column` on.
  template <class T>
  DM_DEVICE static void write_row(T* head_row, const float (&sums)[kColumns], float factor,
                                  int first, int width) {
    DM_UNROLL
    for (int k = 0; k < kColumns; ++k) {
      const int c = first + 4 * (column() + kSide * (k / 4)) + k % 4;
      if (c < width) store(head_row + c, sums[k] * factor);
    }
  }

  /// What windows add to a score, by the codes' difference of query and key.
  template <class T>
  DM_DEVICE static float added(const AttentionInputs<T>& p, int head, int code, bool apart) {
    float sum = apart ? kOtherRegion : 0.0f;
    if (p.table != nullptr) {
      sum += p.table[static_cast<std::int64_t>(code + p.grid.centre()) * p.heads + head] * kLog2E;
    }
    return sum;
  }

  /// Over the threads of a row.
  template <class Combine>
  DM_DEVICE static float over_row(float value, Combine combine) {
    DM_UNROLL
    for (int mask = kSide / 2; mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
    return value;
  }
};

}  // namespace dm::cuda
