// SPDX-License-Identifier: Apache-2.0
// A tensor of one value.
#include <algorithm>
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 65536;

template <typename T>
void fill_all(T* out, std::int64_t count, T value) {
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    std::fill(out + begin, out + end, value);
  });
}

// buffers: out. numbers: [dtype, count, value]; an int32 or bool value must be in the range of its
// type.
Status fill(const OpArguments& arguments) {
  Arguments in("Fill", arguments, 1, 3);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  void* out = in.bytes(0, count, Arguments::size_of(dtype));
  const std::int64_t whole = dtype == DType::kFloat32 ? 0 : in.integer(2);
  const std::int64_t least = dtype == DType::kInt32 ? INT32_MIN : 0;
  const std::int64_t most = dtype == DType::kInt32 ? INT32_MAX : 255;
  if (whole < least || whole > most) in.fail("a value of the dtype", std::to_string(whole));
  if (!in.ok()) return in.status();
  switch (dtype) {
    case DType::kFloat32:
      fill_all(static_cast<float*>(out), count, static_cast<float>(arguments.numbers[2]));
      break;
    case DType::kInt32:
      fill_all(static_cast<std::int32_t*>(out), count, static_cast<std::int32_t>(whole));
      break;
    case DType::kBool:
      fill_all(static_cast<std::uint8_t*>(out), count, static_cast<std::uint8_t>(whole));
      break;
  }
  return {};
}

}  // namespace

void register_fill(OpTable& table) { table.add("Fill", fill); }

}  // namespace dm::cpu
