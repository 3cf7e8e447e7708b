// SPDX-License-Identifier: Apache-2.0
// Rows of a head, copied into the words and layouts that tile.h multiplies. For this folder only.
#pragma once

#include "cpu/simd/attention.h"
#include "cpu/simd/tile.h"

namespace dm::cpu {
namespace {

[[maybe_unused]] inline std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/// Words of `count` elements.
template <typename Product>
inline std::int64_t words_of(std::int64_t count) {
  return (count + Product::kElements - 1) / Product::kElements;
}

template <typename T>
inline T* row_of(const HeadRows& rows, std::int64_t row) {
  const std::int64_t place = rows.order == nullptr ? row : rows.order[row];
  return static_cast<T*>(rows.data) + place * rows.stride;
}

/// Lanes [0, count) of a row, zeros after them.
template <typename T>
inline Floats load_some(const T* p, std::int64_t count) {
  if (count >= kLanes) return load(p);
  float lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = load_one(p + i);
  return load(lanes);
}

template <typename T>
inline void store_some(T* p, Floats v, std::int64_t count) {
  if (count >= kLanes) {
    store(p, v);
    return;
  }
  float lanes[kLanes];
  store(lanes, v);
  for (std::int64_t i = 0; i < count; ++i) store_one(p + i, lanes[i]);
}

// ---- words: of one float32, or of two bfloat16 ----------------------------------------------------------------------------------

/// A register of words of the elements [0, count) of a row, zeros after them.
template <typename T>
inline Floats words_along(Float32Product, const T* p, std::int64_t count) { return load_some(p, count); }

/// The same of the elements of some rows at one place, each [0, count).
template <typename T>
inline Floats words_down(Float32Product, const T* const* rows, std::int64_t i, std::int64_t count) {
  return load_some(rows[0] + i, count);
}

/// What follows each other in registers; and what is in the same lane of each.
[[maybe_unused]] inline Floats words_along(Float32Product, const Floats* values) { return values[0]; }
[[maybe_unused]] inline Floats words_down(Float32Product, const Floats* values) { return values[0]; }

#if defined(__AVX512BF16__)
inline Halves halves_of(const Bf16* p, std::int64_t count) {
  Halves halves{};
  if (count >= kLanes) {
    __builtin_memcpy(&halves, p, sizeof(halves));
  } else if (count > 0) {
    __builtin_memcpy(&halves, p, static_cast<std::size_t>(count) * sizeof(Bf16));
  }
  return halves;
}

inline Floats words_along(BFloat16Product, const Bf16* p, std::int64_t count) {
  Floats words{};
  if (count >= 2 * kLanes) {
    __builtin_memcpy(&words, p, sizeof(words));
  } else {
    __builtin_memcpy(&words, p, static_cast<std::size_t>(count) * sizeof(Bf16));
  }
  return words;
}

inline Floats words_down(BFloat16Product, const Bf16* const* rows, std::int64_t i, std::int64_t count) {
  return pair_up(halves_of(rows[0] + i, count), rows[1] == nullptr ? Halves{} : halves_of(rows[1] + i, count));
}

[[maybe_unused]] inline Floats words_along(BFloat16Product, const Floats* values) {
  return __builtin_bit_cast(Floats, _mm512_cvtne2ps_pbh(values[1], values[0]));
}
[[maybe_unused]] inline Floats words_down(BFloat16Product, const Floats* values) {
  return pair_up(__builtin_bit_cast(Halves, _mm512_cvtneps_pbh(values[0])),
                 __builtin_bit_cast(Halves, _mm512_cvtneps_pbh(values[1])));
}
#endif

/// Calls `fn` with an element of the type of the rows. Only bfloat16 is multiplied as such.
template <typename Product, typename Fn>
inline void with_type(const HeadRows& rows, const Fn& fn) {
  if constexpr (Product::kElements == 2) {
    fn(Bf16{});
  } else if (rows.bfloat16) {
    fn(Bf16{});
  } else {
    fn(float{});
  }
}

// ---- operands -------------------------------------------------------------------------------------------------------------------

/// Words along the rows, padded with zeros to whole registers: the left side of a product over elements.
template <typename Product>
inline void copy_rows(const HeadRows& rows, std::int64_t first, std::int64_t count, std::int64_t width, float* out) {
  constexpr std::int64_t kStep = kLanes * Product::kElements;
  with_type<Product>(rows, [=, &rows](auto zero) {
    using T = decltype(zero);
    float* to = out;
    for (std::int64_t row = 0; row < count; ++row) {
      const T* from = row_of<const T>(rows, first + row);
      for (std::int64_t i = 0; i < width; i += kStep, to += kLanes) store(to, words_along(Product{}, from + i, width - i));
    }
  });
}

/// Panels of [words of count, width], columns padded with zeros to whole registers: the right side of a product over rows.
template <typename Product>
inline void pack_rows(const HeadRows& rows, std::int64_t first, std::int64_t count, std::int64_t width, float* out) {
  constexpr std::int64_t kRows = Product::kElements;
  const std::int64_t padded = round_up(width, kLanes);
  const std::int64_t words = words_of<Product>(count);
  with_type<Product>(rows, [=, &rows](auto zero) {
    using T = decltype(zero);
    for (std::int64_t panel = 0; panel < padded; panel += kPanel * kLanes) {
      const std::int64_t left = padded - panel;
      const std::int64_t columns = left < kPanel * kLanes ? left : kPanel * kLanes;
      float* to = out + panel * words;
      for (std::int64_t word = 0; word < words; ++word, to += columns) {
        const T* from[kRows];
        for (std::int64_t i = 0; i < kRows; ++i) {
          const std::int64_t row = word * kRows + i;
          from[i] = row < count ? row_of<const T>(rows, first + row) + panel : nullptr;
        }
        for (std::int64_t i = 0; i < columns; i += kLanes) {
          store(to + i, words_down(Product{}, from, i, width - panel - i));
        }
      }
    }
  });
}

/// Panels of the transposed rows, [words of width, count], columns padded with zeros: the right side of a product over elements.
template <typename Product>
inline void pack_columns(const HeadRows& rows, std::int64_t first, std::int64_t count, std::int64_t width, float* out) {
  const std::int64_t padded = round_up(count, kLanes);
  const std::int64_t words = words_of<Product>(width);
  with_type<Product>(rows, [=, &rows](auto zero) {
    using T = decltype(zero);
    for (std::int64_t panel = 0; panel < padded; panel += kPanel * kLanes) {
      const std::int64_t left = padded - panel;
      const std::int64_t columns = left < kPanel * kLanes ? left : kPanel * kLanes;
      float* to = out + panel * words;
      for (std::int64_t block = 0; block < columns; block += kLanes) {
        for (std::int64_t i = 0; i < words; i += kLanes) {
          const std::int64_t element = i * Product::kElements;
          Floats square[kLanes];
          for (int j = 0; j < kLanes; ++j) {
            const std::int64_t row = panel + block + j;
            square[j] = row < count ? words_along(Product{}, row_of<const T>(rows, first + row) + element, width - element)
                                    : Floats{};
          }
          transpose(square);
          const std::int64_t lines = words - i < kLanes ? words - i : kLanes;
          for (std::int64_t j = 0; j < lines; ++j) store(to + (i + j) * columns + block, square[j]);
        }
      }
    }
  });
}

/// Row `row` of `rows` from float32 values times `factor`.
[[maybe_unused]] inline void write_row(const HeadRows& rows, std::int64_t row, std::int64_t width,
                                       const float* from, float factor) {
  with_type<Float32Product>(rows, [=, &rows](auto zero) {
    auto* to = row_of<decltype(zero)>(rows, row);
    for (std::int64_t i = 0; i < width; i += kLanes) {
      store_some(to + i, load(from + i) * factor, width - i);
    }
  });
}

/// Sum of the products of a row of each.
[[maybe_unused]] inline float dot_rows(const HeadRows& a, const HeadRows& b, std::int64_t row, std::int64_t width) {
  Floats sum{};
  with_type<Float32Product>(a, [=, &a, &b, &sum](auto zero) {
    using T = decltype(zero);
    const T* left = row_of<const T>(a, row);
    const T* right = row_of<const T>(b, row);
    for (std::int64_t i = 0; i < width; i += kLanes) {
      sum = fused(load_some(left + i, width - i), load_some(right + i, width - i), sum);
    }
  });
  return sum_of(sum);
}

}  // namespace
}  // namespace dm::cpu
