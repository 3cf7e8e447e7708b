// SPDX-License-Identifier: Apache-2.0
// Select: elements of one tensor or another.
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 32768;  // elements a chunk

template <typename T>
Status choose(Arguments& in, std::int64_t count) {
  const std::uint8_t* condition = in.buffer<std::uint8_t>(0, count);
  const T* yes = in.buffer<T>(1, count);
  const T* no = in.buffer<T>(2, count);
  T* out = in.buffer<T>(3, count);
  if (!in.ok()) return in.status();
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = condition[i] == 1 ? yes[i] : no[i];
  });
  return {};
}

// buffers: condition (bool), yes, no, out. numbers: [dtype of yes, no and out, count]. A condition
// holds where it is 1.
Status select(const OpArguments& arguments) {
  Arguments in("Select", arguments, 4, 2);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  if (!in.ok()) return in.status();
  if (dtype == DType::kFloat32) return choose<float>(in, count);
  if (dtype == DType::kInt32) return choose<std::int32_t>(in, count);
  return choose<std::uint8_t>(in, count);
}

}  // namespace

void register_select(OpTable& table) { table.add("Select", select); }

}  // namespace dm::cpu
