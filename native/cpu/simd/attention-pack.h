// SPDX-License-Identifier: Apache-2.0
// Rows of a head, copied into the layouts that tile.h multiplies. For this folder only.
#pragma once

#include "cpu/simd/attention.h"
#include "cpu/simd/tile.h"

namespace dm::cpu {
namespace {

[[maybe_unused]] inline std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
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

/// Rows times `factor`, padded with zeros to whole registers: the left side of a product.
template <typename T>
inline void copy_rows(const HeadRows& rows, std::int64_t first, std::int64_t count,
                      std::int64_t width, float factor, float* out) {
  for (std::int64_t row = 0; row < count; ++row) {
    const T* from = row_of<const T>(rows, first + row);
    for (std::int64_t i = 0; i < width; i += kLanes, out += kLanes) {
      store(out, load_some(from + i, width - i) * factor);
    }
  }
}

/// Panels of [count, width] rows times `factor`, columns padded with zeros to whole registers: the right side of a product over rows.
template <typename T>
inline void pack_rows(const HeadRows& rows, std::int64_t first, std::int64_t count,
                      std::int64_t width, float factor, float* out) {
  const std::int64_t padded = round_up(width, kLanes);
  for (std::int64_t panel = 0; panel < padded; panel += kPanel * kLanes) {
    const std::int64_t left = padded - panel;
    const std::int64_t columns = left < kPanel * kLanes ? left : kPanel * kLanes;
    float* to = out + panel * count;
    for (std::int64_t row = 0; row < count; ++row, to += columns) {
      const T* from = row_of<const T>(rows, first + row) + panel;
      for (std::int64_t i = 0; i < columns; i += kLanes) {
        store(to + i, load_some(from + i, width - panel - i) * factor);
      }
    }
  }
}

/// Panels of the transposed rows, [width, count], columns padded with zeros: the right side of a product over elements.
template <typename T>
inline void pack_columns(const HeadRows& rows, std::int64_t first, std::int64_t count,
                         std::int64_t width, float* out) {
  const std::int64_t padded = round_up(count, kLanes);
  for (std::int64_t panel = 0; panel < padded; panel += kPanel * kLanes) {
    const std::int64_t left = padded - panel;
    const std::int64_t columns = left < kPanel * kLanes ? left : kPanel * kLanes;
    float* to = out + panel * width;
    for (std::int64_t block = 0; block < columns; block += kLanes) {
      for (std::int64_t i = 0; i < width; i += kLanes) {
        Floats square[kLanes];
        for (int j = 0; j < kLanes; ++j) {
          const std::int64_t row = panel + block + j;
          square[j] = row < count ? load_some(row_of<const T>(rows, first + row) + i, width - i)
                                  : Floats{};
        }
        transpose(square);
        const std::int64_t elements = width - i < kLanes ? width - i : kLanes;
        for (std::int64_t j = 0; j < elements; ++j) store(to + (i + j) * columns + block, square[j]);
      }
    }
  }
}

[[maybe_unused]] inline void copy_rows(const HeadRows& rows, std::int64_t first, std::int64_t count,
                                       std::int64_t width, float factor, float* out) {
  if (rows.bfloat16) {
    copy_rows<Bf16>(rows, first, count, width, factor, out);
  } else {
    copy_rows<float>(rows, first, count, width, factor, out);
  }
}

[[maybe_unused]] inline void pack_rows(const HeadRows& rows, std::int64_t first, std::int64_t count,
                                       std::int64_t width, float factor, float* out) {
  if (rows.bfloat16) {
    pack_rows<Bf16>(rows, first, count, width, factor, out);
  } else {
    pack_rows<float>(rows, first, count, width, factor, out);
  }
}

[[maybe_unused]] inline void pack_columns(const HeadRows& rows, std::int64_t first,
                                          std::int64_t count, std::int64_t width, float* out) {
  if (rows.bfloat16) {
    pack_columns<Bf16>(rows, first, count, width, out);
  } else {
    pack_columns<float>(rows, first, count, width, out);
  }
}

/// Row `row` of `rows` from float32 values times `factor`.
[[maybe_unused]] inline void write_row(const HeadRows& rows, std::int64_t row, std::int64_t width,
                                       const float* from, float factor) {
  if (rows.bfloat16) {
    Bf16* to = row_of<Bf16>(rows, row);
    for (std::int64_t i = 0; i < width; i += kLanes) {
      store_some(to + i, load(from + i) * factor, width - i);
    }
  } else {
    float* to = row_of<float>(rows, row);
    for (std::int64_t i = 0; i < width; i += kLanes) {
      store_some(to + i, load(from + i) * factor, width - i);
    }
  }
}

/// Sum of the products of two rows.
template <typename A, typename B>
inline float dot_rows(const A* a, const B* b, std::int64_t width) {
  Floats sum{};
  for (std::int64_t i = 0; i < width; i += kLanes) {
    sum = fused(load_some(a + i, width - i), load_some(b + i, width - i), sum);
  }
  return sum_of(sum);
}

}  // namespace
}  // namespace dm::cpu
