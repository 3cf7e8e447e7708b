// SPDX-License-Identifier: Apache-2.0
// Rows of what follows a product.
#include "cpu/simd/matmul.h"

#include "cpu/simd/bfloat16.h"
#include "cpu/simd/gelu.h"
#include "cpu/simd/vector.h"

namespace dm::cpu::DM_ISA {
namespace {

void add(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] += x[i];
}

inline Floats at(const float* p, std::int64_t i, Floats) { return load(p + i); }
inline float at(const float* p, std::int64_t i, float) { return p[i]; }
inline void put(float* p, Floats v) { store(p, v); }
inline void put(Bf16* p, Floats v) { store(p, v); }
inline void put(float* p, float v) { *p = v; }
inline void put(Bf16* p, float v) { *p = to_bits(v); }

template <typename Kind, typename T>
inline void finish_at(const FinishedRow& after, const float* row, std::int64_t i, T* c) {
  Kind v = at(row, i, Kind{});
  if (after.bias != nullptr) v += at(after.bias, i, Kind{});
  v *= after.factor;
  if (after.residual != nullptr) v += at(after.residual, i, Kind{});
  if (after.sum != nullptr) v += at(after.sum, i, Kind{});
  put(c + i, v);
}

template <typename T>
void finish_row(const FinishedRow after, const float* row, T* c) {
  std::int64_t i = 0;
  for (; i + kLanes <= after.count; i += kLanes) finish_at<Floats>(after, row, i, c);
  for (; i < after.count; ++i) finish_at<float>(after, row, i, c);
}

void finish(const FinishedRow& after, const float* row, void* c, bool bfloat16) {
  if (bfloat16) {
    finish_row(after, row, static_cast<Bf16*>(c));
  } else {
    finish_row(after, row, static_cast<float*>(c));
  }
}

void gelu(const float* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = gelu_float(x[i]);
}

template <typename T>
void gelu_and_slope(const T* __restrict x, float* __restrict y, T* __restrict value, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float at = load_one(x + i);
    const NormalAt normal = normal_at(at);
    y[i] *= normal.cdf + at * normal.density;
    store_one(value + i, at * normal.cdf);
  }
}

template <typename T>
void multiply_slope_of(const T* x, float* y, T* value, std::int64_t count) {
  if (value != nullptr) {
    gelu_and_slope(x, y, value, count);
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] *= gelu_slope(load_one(x + i));
  }
}

void multiply_gelu_slope(const void* x, bool bfloat16, float* y, void* value, std::int64_t count) {
  if (bfloat16) {
    multiply_slope_of(static_cast<const Bf16*>(x), y, static_cast<Bf16*>(value), count);
  } else {
    multiply_slope_of(static_cast<const float*>(x), y, static_cast<float*>(value), count);
  }
}

/// Rows by eights, so that sums are not read and written for each.
template <typename T>
void add_rows_of(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, float* sums) {
  constexpr std::int64_t kRows = 8;
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows, x += kRows * stride) {
    const auto pair = [=](std::int64_t j, std::int64_t i) {
      return load(x + i * stride + j) + load(x + (i + 1) * stride + j);
    };
    std::int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
      const Floats sum = (pair(j, 0) + pair(j, 2)) + (pair(j, 4) + pair(j, 6));
      store(sums + j, load(sums + j) + sum);
    }
    for (; j < columns; ++j) {
      for (std::int64_t i = 0; i < kRows; ++i) sums[j] += load_one(x + i * stride + j);
    }
  }
  for (; row < rows; ++row, x += stride) {
    for (std::int64_t j = 0; j < columns; ++j) sums[j] += load_one(x + j);
  }
}

void add_rows(const void* x, bool bfloat16, std::int64_t stride, std::int64_t rows,
              std::int64_t columns, float* sums) {
  if (bfloat16) {
    add_rows_of(static_cast<const Bf16*>(x), stride, rows, columns, sums);
  } else {
    add_rows_of(static_cast<const float*>(x), stride, rows, columns, sums);
  }
}

void to_bfloat16(const float* x, std::uint16_t* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = to_bits(x[i]);
}

void from_bfloat16(const std::uint16_t* x, float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = from_bits(x[i]);
}

}  // namespace

extern const MatmulKernels kMatmul = {
    .add = add,
    .finish = finish,
    .gelu = gelu,
    .multiply_gelu_slope = multiply_gelu_slope,
    .add_rows = add_rows,
    .to_bfloat16 = to_bfloat16,
    .from_bfloat16 = from_bfloat16,
};

}  // namespace dm::cpu::DM_ISA
