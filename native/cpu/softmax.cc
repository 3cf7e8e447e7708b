// SPDX-License-Identifier: Apache-2.0
// Softmax over the last axis, and its gradient.
#include "cpu/simd/softmax.h"

#include <algorithm>
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 8192;  // elements a task has at least

template <typename Fn>
void for_rows(std::int64_t rows, std::int64_t width, const Fn& fn) {
  if (width == 0) return;
  parallel_for(rows, std::max<std::int64_t>(1, kGrain / width),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t row = begin; row < end; ++row) fn(row * width);
               });
}

// buffers: x, y (may be one block). numbers: [rows, width].
Status softmax(const OpArguments& arguments) {
  Arguments in("Softmax", arguments, 2, 2);
  const std::int64_t width = in.count(1);
  const std::int64_t count = in.product(0, 2);
  const float* x = in.buffer<float>(0, count);
  float* y = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  const auto kernel = DM_PICK(kSoftmax).row;
  for_rows(in.count(0), width, [=](std::int64_t at) { kernel(x + at, y + at, width); });
  return {};
}

// buffers: dy, y, dx. numbers: [rows, width].
Status softmax_grad(const OpArguments& arguments) {
  Arguments in("DmSoftmaxGrad", arguments, 3, 2);
  const std::int64_t width = in.count(1);
  const std::int64_t count = in.product(0, 2);
  const float* dy = in.buffer<float>(0, count);
  const float* y = in.buffer<float>(1, count);
  float* dx = in.buffer<float>(2, count);
  if (!in.ok()) return in.status();
  const auto kernel = DM_PICK(kSoftmax).gradient;
  for_rows(in.count(0), width, [=](std::int64_t at) { kernel(dy + at, y + at, dx + at, width); });
  return {};
}

}  // namespace

void register_softmax(OpTable& table) {
  table.add("DmSoftmaxGrad", softmax_grad);
  table.add("Softmax", softmax);
}

}  // namespace dm::cpu
