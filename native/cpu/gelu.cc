// SPDX-License-Identifier: Apache-2.0
// Exact GELU: packages/core/src/ops/gelu.ts.
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/gelu-rows.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

// buffers: x, y. numbers: [count].
Status gelu(const OpArguments& arguments) {
  Arguments in("DmGelu", arguments, 2, 1);
  const std::int64_t count = in.count(0);
  const float* x = in.buffer<float>(0, count);
  float* y = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  const auto kernel = DM_PICK(kGelu).value;
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    kernel(x + begin, y + begin, end - begin);
  });
  return {};
}

// buffers: dy, x, dx. numbers: [count].
Status gelu_grad(const OpArguments& arguments) {
  Arguments in("DmGeluGrad", arguments, 3, 1);
  const std::int64_t count = in.count(0);
  const float* dy = in.buffer<float>(0, count);
  const float* x = in.buffer<float>(1, count);
  float* dx = in.buffer<float>(2, count);
  if (!in.ok()) return in.status();
  const auto kernel = DM_PICK(kGelu).gradient;
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    kernel(dy + begin, x + begin, dx + begin, end - begin);
  });
  return {};
}

}  // namespace

void register_gelu(OpTable& table) {
  table.add("DmGelu", gelu);
  table.add("DmGeluGrad", gelu_grad);
}

}  // namespace dm::cpu
