// SPDX-License-Identifier: Apache-2.0
// Tiles that fill the registers with sums: each word of k takes kTileColumns registers of b and one value of a per row.
#include "cpu/simd/gemm.h"

#include "cpu/simd/products.h"

namespace dm::cpu::DM_ISA {
namespace {

/// Rows of a tile by two registers of columns: the sums, a row of b and a value of a fill the registers.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTileColumns = 2 * kLanes;
/// How many words ahead of their use operands are fetched: the processor's own prefetching ends with each page.
constexpr int kAhead = 16;
/// The same for lines that are rearranged, in registers.
constexpr std::int64_t kPackAhead = 4;
/// The same for rows of lines next to each other.
constexpr std::int64_t kRowsAhead = 8;

// ---- products -------------------------------------------------------------------------------------------------------------------

template <int kRows, typename Product>
void multiply_rows(const GemmTile& tile) {
  Floats sums[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) sums[i][0] = sums[i][1] = Floats{};
  const auto* a = static_cast<const float*>(tile.a);
  const auto* b = static_cast<const float*>(tile.b);
  for (std::int64_t word = tile.words; word > 0; --word) {
    __builtin_prefetch(a + kAhead * kLanes);
    __builtin_prefetch(b + kAhead * kTileColumns);
    __builtin_prefetch(b + kAhead * kTileColumns + kLanes);
    const Floats left = load(b);
    const Floats right = load(b + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      sums[i][0] = Product::add(a[i], left, sums[i][0]);
      sums[i][1] = Product::add(a[i], right, sums[i][1]);
    }
    a += kLanes;
    b += kTileColumns;
  }
  float* c = tile.c;
  if (tile.columns == kTileColumns) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i, c += tile.c_step) {
      if (tile.add) {
        sums[i][0] += load(c);
        sums[i][1] += load(c + kLanes);
      }
      store(c, sums[i][0]);
      store(c + kLanes, sums[i][1]);
    }
    return;
  }
  float rows[kRows][kTileColumns];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    store(rows[i], sums[i][0]);
    store(rows[i] + kLanes, sums[i][1]);
  }
  for (int i = 0; i < kRows; ++i, c += tile.c_step) {
    for (int j = 0; j < tile.columns; ++j) c[j] = tile.add ? c[j] + rows[i][j] : rows[i][j];
  }
}

template <typename Product, int kRows = kTileRows>
void multiply(const GemmTile& tile) {
  if constexpr (kRows > 1) {
    if (tile.rows < kRows) return multiply<Product, kRows - 1>(tile);
  }
  multiply_rows<kRows, Product>(tile);
}

// ---- rearranging ----------------------------------------------------------------------------------------------------------------

/// What a word holds.
struct Float32Words {
  static constexpr std::int64_t kElements = 1;
};
struct BFloat16Words {
  static constexpr std::int64_t kElements = 2;
};

/// To bfloat16. The processor's own instruction flushes subnormal numbers, as its products do too.
inline Halves rounded(Floats v) {
#if defined(__AVX512BF16__)
  return __builtin_bit_cast(Halves, _mm512_cvtneps_pbh(v));
#else
  Bf16 halves[kLanes];
  store(halves, v);
  Halves result;
  __builtin_memcpy(&result, halves, sizeof(result));
  return result;
#endif
}

/// kLanes words along a line that has them all.
inline Floats words_along(const float* p, Float32Words) { return load(p); }
inline Floats words_along(const Bf16* p, Float32Words) { return load(p); }
inline Floats words_along(const Bf16* p, BFloat16Words) {
  Floats v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
inline Floats words_along(const float* p, BFloat16Words) {
#if defined(__AVX512BF16__)
  return __builtin_bit_cast(Floats, _mm512_cvtne2ps_pbh(load(p + kLanes), load(p)));
#else
  Bf16 pairs[2 * kLanes];
  store(pairs, load(p));
  store(pairs + kLanes, load(p + kLanes));
  return words_along(pairs, BFloat16Words{});
#endif
}

/// The word of `left` elements at p, `step` apart; zeros for those past the end.
template <typename T>
inline float word_at(const T* p, std::int64_t, std::int64_t, Float32Words) {
  return load_one(p);
}
template <typename T>
inline float word_at(const T* p, std::int64_t step, std::int64_t left, BFloat16Words) {
  const std::uint32_t low = narrow(load_one(p));
  const std::uint32_t high = left > 1 ? narrow(load_one(p + step)) : 0u;
  return __builtin_bit_cast(float, low | high << 16);
}

/// Words of kLanes lines next to each other: row p, and of bfloat16 the row after it.
template <typename T>
inline Floats words_across(const T* p, const T*, Float32Words) { return load(p); }
template <typename T>
inline Floats words_across(const T* p, const T* next, BFloat16Words) {
  Halves low, high;
  if constexpr (sizeof(T) == 2) {
    __builtin_memcpy(&low, p, sizeof(low));
    __builtin_memcpy(&high, next, sizeof(high));
  } else {
    low = rounded(load(p));
    high = rounded(load(next));
  }
  return pair_up(low, high);
}

/// Blocks of lines that are rearranged together.
struct Panels {
  std::int64_t lines, k, advance, width, words;
  float* out;

  float* at(std::int64_t panel, std::int64_t lane, std::int64_t word) const {
    return out + (panel * words + word) * width + lane;
  }
  std::int64_t count() const { return (lines + advance - 1) / advance; }
  /// Lines from a lane of a panel on.
  std::int64_t left(std::int64_t panel, std::int64_t lane) const {
    return lines - panel * advance - lane;
  }
};

/// Words from `word` on of one register of lines, in any layout.
template <typename T, typename Kind>
void pack_one_by_one(const GemmLines& from, const Panels& to, std::int64_t panel, std::int64_t lane,
                     std::int64_t word) {
  const T* data = static_cast<const T*>(from.data) + (panel * to.advance + lane) * from.line_step;
  const std::int64_t lines = to.left(panel, lane);
  for (; word < to.words; ++word) {
    float* out = to.at(panel, lane, word);
    const std::int64_t k = word * Kind::kElements;
    for (std::int64_t line = 0; line < kLanes; ++line) {
      const T* at = data + line * from.line_step + k * from.k_step;
      out[line] = line < lines ? word_at(at, from.k_step, to.k - k, Kind{}) : 0.0f;
    }
  }
}

/// Lines whose elements follow each other: squares, turned.
template <typename T, typename Kind>
void pack_along(const GemmLines& from, const Panels& to) {
  const std::int64_t whole = to.k / (Kind::kElements * kLanes) * kLanes;
  for (std::int64_t panel = 0; panel < to.count(); ++panel) {
    for (std::int64_t lane = 0; lane < to.width; lane += kLanes) {
      const T* data = static_cast<const T*>(from.data) + (panel * to.advance + lane) * from.line_step;
      const std::int64_t lines = to.left(panel, lane);
      for (std::int64_t word = 0; word < whole; word += kLanes) {
        Floats square[kLanes];
#pragma GCC unroll 16
        for (int line = 0; line < kLanes; ++line) {
          const T* at = data + line * from.line_step + word * Kind::kElements;
          if (line < lines) __builtin_prefetch(at + kPackAhead * kLanes);
          square[line] = line < lines ? words_along(at, Kind{}) : Floats{};
        }
        transpose(square);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(to.at(panel, lane, word + i), square[i]);
      }
      pack_one_by_one<T, Kind>(from, to, panel, lane, whole);
    }
  }
}

/// Lines next to each other: one row of all panels after the other, as they lie in memory.
template <typename T, typename Kind>
void pack_across(const GemmLines& from, const Panels& to) {
  const std::int64_t whole = to.k / Kind::kElements;
  for (std::int64_t word = 0; word < whole; ++word) {
    const T* row = static_cast<const T*>(from.data) + word * Kind::kElements * from.k_step;
    for (std::int64_t panel = 0; panel < to.count(); ++panel) {
      for (std::int64_t lane = 0; lane < to.width && to.left(panel, lane) >= kLanes; lane += kLanes) {
        const T* at = row + panel * to.advance + lane;
        for (std::int64_t i = 0; i < Kind::kElements; ++i) {
          __builtin_prefetch(at + (kRowsAhead + i) * from.k_step);
        }
        store(to.at(panel, lane, word), words_across(at, at + from.k_step, Kind{}));
      }
    }
  }
  for (std::int64_t panel = 0; panel < to.count(); ++panel) {
    for (std::int64_t lane = 0; lane < to.width; lane += kLanes) {
      pack_one_by_one<T, Kind>(from, to, panel, lane, to.left(panel, lane) >= kLanes ? whole : 0);
    }
  }
}

template <typename T, typename Kind>
void pack_panels(const GemmLines& from, const Panels& to) {
  if (from.k_step == 1) {
    pack_along<T, Kind>(from, to);
  } else if (from.line_step == 1) {
    pack_across<T, Kind>(from, to);
  } else {
    for (std::int64_t panel = 0; panel < to.count(); ++panel) {
      for (std::int64_t lane = 0; lane < to.width; lane += kLanes) {
        pack_one_by_one<T, Kind>(from, to, panel, lane, 0);
      }
    }
  }
}

template <typename Kind>
void pack(const GemmLines& from, std::int64_t lines, std::int64_t k, std::int64_t advance,
          std::int64_t width, void* out) {
  const std::int64_t words = (k + Kind::kElements - 1) / Kind::kElements;
  const Panels to{lines, k, advance, width, words, static_cast<float*>(out)};
  if (from.bfloat16) {
    pack_panels<Bf16, Kind>(from, to);
  } else {
    pack_panels<float, Kind>(from, to);
  }
}

}  // namespace

extern const GemmKernels kGemm = {
    .tile_rows = kTileRows,
    .tile_columns = kTileColumns,
    .sliver = kLanes,
    .pack_float32 = pack<Float32Words>,
    .pack_bfloat16 = pack<BFloat16Words>,
    .multiply_float32 = multiply<Float32Product>,
#if defined(__AVX512BF16__)
    .multiply_bfloat16 = multiply<BFloat16Product>,
#else
    .multiply_bfloat16 = nullptr,
#endif
};

}  // namespace dm::cpu::DM_ISA
