// SPDX-License-Identifier: Apache-2.0
// One value at each index, another elsewhere.
#include <algorithm>
#include <cstdint>
#include <string>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

template <typename T>
Status fill_rows(Arguments& in, T on, T off) {
  const std::int64_t rows = in.count(1);
  const std::int64_t depth = in.count(2);
  const std::int32_t* indices = in.buffer<std::int32_t>(0, rows);
  T* y = in.buffer<T>(1, in.elements({rows, depth}));
  if (!in.ok()) return in.status();
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, depth));
  parallel_for(rows, grain, [=](std::int64_t begin, std::int64_t end) {
    std::fill(y + begin * depth, y + end * depth, off);
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t index = indices[row];
      if (index >= 0 && index < depth) y[row * depth + index] = on;
    }
  });
  return {};
}

// buffers: indices int32 [rows], y [rows, depth]. numbers: [dtype, rows, depth, on, off]; values of int32 and bool in the range of their
// type. A row whose index is not in 0..depth-1 is off throughout.
Status one_hot(const OpArguments& arguments) {
  Arguments in("OneHot", arguments, 2, 5);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kFloat32) {
    return fill_rows(in, static_cast<float>(in.number(3)), static_cast<float>(in.number(4)));
  }
  const std::int64_t least = dtype == DType::kInt32 ? INT32_MIN : 0;
  const std::int64_t most = dtype == DType::kInt32 ? INT32_MAX : 255;
  for (std::size_t i = 3; i < 5; ++i) {
    const std::int64_t value = in.integer(i);
    if (value < least || value > most) in.fail("a value of the dtype", std::to_string(value));
  }
  if (!in.ok()) return in.status();
  const std::int64_t on = in.integer(3);
  const std::int64_t off = in.integer(4);
  if (dtype == DType::kInt32) {
    return fill_rows(in, static_cast<std::int32_t>(on), static_cast<std::int32_t>(off));
  }
  return fill_rows(in, static_cast<std::uint8_t>(on), static_cast<std::uint8_t>(off));
}

}  // namespace

void register_one_hot(OpTable& table) { table.add("OneHot", one_hot); }

}  // namespace dm::cpu
