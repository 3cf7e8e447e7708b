// SPDX-License-Identifier: Apache-2.0
// The largest elements of each row.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;  // elements a chunk

template <typename T>
void largest(const T* x, std::vector<std::int32_t>& order, std::int64_t k, T* values,
             std::int32_t* indices) {
  std::iota(order.begin(), order.end(), 0);
  // Larger first, then of lower index; NaN after all numbers.
  const auto before = [x](std::int32_t i, std::int32_t j) {
    const T a = x[i];
    const T b = x[j];
    if (a != b) {
      const bool a_is_number = a == a;
      return a_is_number && b == b ? a > b : (a_is_number || (b != b && i < j));
    }
    return i < j;
  };
  std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
  for (std::int64_t i = 0; i < k; ++i) {
    indices[i] = order[static_cast<std::size_t>(i)];
    values[i] = x[indices[i]];
  }
}

template <typename T>
Status top_rows(Arguments& in) {
  const std::int64_t rows = in.count(1);
  const std::int64_t width = in.count(2);
  const std::int64_t k = in.count(3);
  if (k > width || width > INT32_MAX) in.fail("k of at most the width", std::to_string(k));
  const T* x = in.buffer<T>(0, in.elements({rows, width}));
  T* values = in.buffer<T>(1, in.elements({rows, k}));
  auto* indices = in.buffer<std::int32_t>(2, in.elements({rows, k}));
  if (!in.ok()) return in.status();
  if (rows * k == 0) return {};
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / width);
  parallel_for(rows, grain, [=](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(width));
    for (std::int64_t row = begin; row < end; ++row) {
      largest(x + row * width, order, k, values + row * k, indices + row * k);
    }
  });
  return {};
}

// buffers: x [rows, width], values [rows, k], indices int32 [rows, k]. numbers: [dtype, rows, width, k]; float32 or int32. Sorted, and
// of equal elements the one of lower index first.
Status top_k(const OpArguments& arguments) {
  Arguments in("TopK", arguments, 3, 4);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kFloat32) return top_rows<float>(in);
  if (dtype == DType::kInt32) return top_rows<std::int32_t>(in);
  in.fail("float32 or int32", "bool");
  return in.status();
}

}  // namespace

void register_top_k(OpTable& table) { table.add("TopK", top_k); }

}  // namespace dm::cpu
