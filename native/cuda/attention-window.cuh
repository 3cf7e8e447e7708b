// SPDX-License-Identifier: Apache-2.0
// Attention in bfloat16 within windows of 16 tokens (Swin, arXiv 2103.14030 §3.2), head widths 32 and 64: one warp a window and head, which is
// what one matrix instruction takes, without shared memory. A lane reads 16 bytes of two rows: tokens lane/4 and lane/4 + 8, columns
// 8 (lane%4) .. + 8 of every 32. As sums over columns take these in any order, the words are fragments of A and of B as they are; transposed,
// they are fragments of B for sums over tokens, whose results come out in the same order, 16 bytes a row.
//
// B batch, W windows of a sample, H heads, D head width, P parts that blocks go through the windows in.
#pragma once

#include "cuda/attention-tensor.cuh"

namespace dm::cuda {

constexpr int kWindowTokens = 16;
constexpr int kWindowHeads = 4;  // of a block, side by side
constexpr int kWindowSlots = 2;  // windows of a block at a time
constexpr int kWindowThreads = kWindowHeads * kWindowSlots * kWarp;

struct WindowInputs {
  Bf16Rows query;      ///< [B grid, H D]
  Bf16Rows key;        ///< [B grid, H D]
  Bf16Rows value;      ///< [B grid, H D]
  const float* table;  ///< [table rows, H], or null
  WindowGrid grid;
  std::int64_t sequences;  ///< B W
  int heads;
  int parts;    ///< P
  float scale;  ///< 1 / sqrt(D)
};

/// A warp's place: head, first window and the next ones.
struct WindowPlace {
  int head, part;
  std::int64_t first, step;

  DM_DEVICE explicit WindowPlace(const WindowInputs& p) {
    const int groups = (p.heads + kWindowHeads - 1) / kWindowHeads;
    const int warp = thread_index() / kWarp;
    head = block_index() % groups * kWindowHeads + warp % kWindowHeads;
    part = block_index() / groups;
    first = static_cast<std::int64_t>(part) * kWindowSlots + warp / kWindowHeads;
    step = static_cast<std::int64_t>(p.parts) * kWindowSlots;
  }
};

/// The lane's tokens of a window, as rows of all samples.
struct WindowTokens {
  std::int64_t row[2];

  DM_DEVICE WindowTokens(const WindowGrid& grid, std::int64_t sequence) {
    const auto window = static_cast<int>(sequence % grid.windows());
    const std::int64_t sample = sequence / grid.windows() * grid.rows * grid.columns;
    const int place = thread_index() % kWarp / 4;
    row[0] = sample + grid.token(window, place);
    row[1] = sample + grid.token(window, place + 8);
  }
};

/// Words of two rows: of [chunk][row].at[word], columns 32 chunk + 8 (lane%4) + 2 word and + 1.
template <int kWidth>
struct WindowRows {
  FourOf<std::uint32_t> of[kWidth / 32][2];

  DM_DEVICE void read(const Bf16Rows& from, const WindowTokens& tokens, int head) {
    each(from, tokens, head, [](FourOf<std::uint32_t>& own, std::uint32_t* there) {
      own = read_four(there);
    });
  }
  DM_DEVICE void write(const Bf16Rows& to, const WindowTokens& tokens, int head) {
    each(to, tokens, head, [](FourOf<std::uint32_t>& own, std::uint32_t* there) {
      write_four(there, own);
    });
  }
  /// The fragment A of the tokens by columns 16 step .. of a chunk, in the order of the words.
  DM_DEVICE void fragment(std::uint32_t (&a)[4], int chunk, int step) const {
    a[0] = of[chunk][0].at[2 * step];
    a[1] = of[chunk][1].at[2 * step];
    a[2] = of[chunk][0].at[2 * step + 1];
    a[3] = of[chunk][1].at[2 * step + 1];
  }
  /// These rows = `weights` [16, 16] · rows of `from`, times `factors` of the lane's two rows.
  DM_DEVICE void set_weighted(const std::uint32_t (&weights)[4], const WindowRows& from,
                              float factor0, float factor1) {
    DM_UNROLL
    for (int chunk = 0; chunk < kWidth / 32; ++chunk) {
      DM_UNROLL
      for (int word = 0; word < 4; ++word) {
        float sums[4] = {};
        mma_m16n8k16(sums, weights, transpose_tile(from.of[chunk][0].at[word]),
                     transpose_tile(from.of[chunk][1].at[word]));
        of[chunk][0].at[word] = pack_bf16(sums[0] * factor0, sums[1] * factor0);
        of[chunk][1].at[word] = pack_bf16(sums[2] * factor1, sums[3] * factor1);
      }
    }
  }

 private:
  template <class Do>
  DM_DEVICE void each(const Bf16Rows& rows, const WindowTokens& tokens, int head, Do apply) {
    DM_UNROLL
    for (int r = 0; r < 2; ++r) {
      bf16* const start = rows.data + tokens.row[r] * rows.stride + head * kWidth +
                          thread_index() % 4 * 8;
      DM_UNROLL
      for (int chunk = 0; chunk < kWidth / 32; ++chunk) {
        apply(of[chunk][r], reinterpret_cast<std::uint32_t*>(start + 32 * chunk));
      }
    }
  }
};

/// Pairs of tokens: [tile][e] is row lane/4 + 8 (e/2) by row 8 tile + 2 (lane%4) + e%2.
using WindowPairs = float[2][4];

/// pairs = left · right transposed.
template <int kWidth>
DM_DEVICE void multiply_rows(WindowPairs& pairs, const WindowRows<kWidth>& left,
                             const WindowRows<kWidth>& right) {
  DM_UNROLL
  for (int e = 0; e < 4; ++e) pairs[0][e] = pairs[1][e] = 0;
  DM_UNROLL
  for (int chunk = 0; chunk < kWidth / 32; ++chunk) {
    DM_UNROLL
    for (int step = 0; step < 2; ++step) {
      std::uint32_t a[4];
      left.fragment(a, chunk, step);
      DM_UNROLL
      for (int tile = 0; tile < 2; ++tile) {
        const FourOf<std::uint32_t>& b = right.of[chunk][tile];
        mma_m16n8k16(pairs[tile], a, b.at[2 * step], b.at[2 * step + 1]);
      }
    }
  }
}

/// Applies use(tile, e, query, key) to the lane's pairs.
template <class Use>
DM_DEVICE void for_pairs(Use use) {
  const int lane = thread_index() % kWarp;
  DM_UNROLL
  for (int tile = 0; tile < 2; ++tile) {
    DM_UNROLL
    for (int e = 0; e < 4; ++e) {
      use(tile, e, lane / 4 + 8 * (e / 2), 8 * tile + 2 * (lane % 4) + e % 2);
    }
  }
}

/// What is added to the scores of a head, times log2(e); zero without a table.
DM_DEVICE void read_biases(WindowPairs& biases, const WindowInputs& p, int head) {
  for_pairs([&](int tile, int e, int query, int key) {
    const int entry = p.grid.code(query) - p.grid.code(key) + p.grid.centre();
    biases[tile][e] =
        p.table == nullptr ? 0.0f : p.table[static_cast<std::int64_t>(entry) * p.heads + head] * kLog2E;
  });
}

/// Scores in powers of two, with biases and with what hides other regions.
DM_DEVICE void finish_scores(WindowPairs& scores, const WindowPairs& biases, const WindowInputs& p,
                             std::int64_t sequence) {
  const float scale = p.scale * kLog2E;
  for_pairs([&](int tile, int e, int, int) {
    scores[tile][e] = fmaf(scores[tile][e], scale, biases[tile][e]);
  });
  const auto window = static_cast<int>(sequence % p.grid.windows());
  if (!p.grid.mixed(window)) return;
  for_pairs([&](int tile, int e, int query, int key) {
    if (p.grid.region(window, query) != p.grid.region(window, key)) scores[tile][e] += kOtherRegion;
  });
}

/// Over the four lanes of a row.
DM_DEVICE float quad_sum(float value) {
  value += shuffle_xor(value, 1);
  return value + shuffle_xor(value, 2);
}

struct WindowForward {
  WindowInputs in;
  Bf16Rows output;  ///< [B grid, H D]
  float* log_sums;  ///< [B, W, H, 16]
};

/// One warp a head of some windows: block [parts, groups of heads].
template <int kWidth>
DM_KERNEL(kWindowThreads, kWidth == 32 ? 3 : 2)
attention_window_forward(WindowForward p) {
  const WindowPlace place(p.in);
  if (place.head >= p.in.heads) return;
  const int lane = thread_index() % kWarp;
  WindowPairs biases;
  read_biases(biases, p.in, place.head);
  for (std::int64_t sequence = place.first; sequence < p.in.sequences; sequence += place.step) {
    const WindowTokens tokens(p.in.grid, sequence);
    WindowRows<kWidth> query;
    WindowRows<kWidth> key;
    WindowRows<kWidth> value;
    query.read(p.in.query, tokens, place.head);
    key.read(p.in.key, tokens, place.head);
    value.read(p.in.value, tokens, place.head);
    WindowPairs scores;
    multiply_rows(scores, query, key);
    finish_scores(scores, biases, p.in, sequence);
    float part[2];
    DM_UNROLL
    for (int r = 0; r < 2; ++r) {
      float most = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]),
                         fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
      most = fmaxf(most, shuffle_xor(most, 1));
      most = fmaxf(most, shuffle_xor(most, 2));
      float total = 0;
      DM_UNROLL
      for (int tile = 0; tile < 2; ++tile) {
        DM_UNROLL
        for (int e = 2 * r; e < 2 * r + 2; ++e) {
          scores[tile][e] = exp2_fast(scores[tile][e] - most);
          total += scores[tile][e];
        }
      }
      total = quad_sum(total);
      part[r] = 1.0f / total;
      if (lane % 4 == 0) {
        p.log_sums[(sequence * p.in.heads + place.head) * kWindowTokens + lane / 4 + 8 * r] =
            most + log2f(total);
      }
    }
    warp_sync();  // after what one lane of four stored: the products want all of them
    std::uint32_t weights[4];
    pack_fragment(weights, scores[0], scores[1]);
    WindowRows<kWidth> output;
    output.set_weighted(weights, value, part[0], part[1]);
    output.write(p.output, tokens, place.head);
  }
}

}  // namespace dm::cuda
