// SPDX-License-Identifier: Apache-2.0
// Numbers at equal distances: Range and LinSpace.
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;

template <typename T>
void steps(T* out, std::int64_t count, double start, double step) {
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      out[i] = static_cast<T>(start + static_cast<double>(i) * step);
    }
  });
}

// buffers: out. numbers: [dtype, count, start, step]; float32 or int32. Element i is start + i * step, each rounded once; of int32, all
// must be in its range.
Status range(const OpArguments& arguments) {
  Arguments in("Range", arguments, 1, 4);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  const double start = in.number(2);
  const double step = in.number(3);
  if (dtype == DType::kFloat32) {
    float* out = in.buffer<float>(0, count);
    if (in.ok()) steps(out, count, start, step);
  } else if (dtype == DType::kInt32) {
    auto* out = in.buffer<std::int32_t>(0, count);
    const double last = start + static_cast<double>(count - 1) * step;
    const auto fits = [](double value) { return value > -2147483649.0 && value < 2147483648.0; };
    if (count > 0 && !(fits(start) && fits(last))) in.fail("values of int32", "larger ones");
    if (in.ok()) steps(out, count, start, step);
  } else {
    in.fail("float32 or int32", "bool");
  }
  return in.status();
}

}  // namespace

void register_range(OpTable& table) { table.add("Range", range); }

}  // namespace dm::cpu
