// SPDX-License-Identifier: Apache-2.0
// A tensor repeated to a larger shape, and divided: the gradient of sums and means.
#include <algorithm>
#include <cstdint>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/binary.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a task has at least

// buffers: x, y. numbers: [divisor, rank, xShape… (rank), yShape… (rank)], x padded with ones to
// the rank <= 8 of y. y = x / divisor.
Status broadcast_to(const OpArguments& arguments) {
  Arguments in("DmBroadcastTo", arguments, 2, 2);
  const auto divisor = static_cast<float>(in.number(0));
  const Broadcast plan = read_broadcast(in, 1);
  const float* x = in.buffer<float>(0, plan.a_count);
  float* y = in.buffer<float>(1, plan.count());
  if (plan.b_count != plan.count()) in.fail("a shape that x broadcasts to", "a smaller one");
  if (!in.ok() || plan.count() == 0) return in.status();
  const auto divide = DM_PICK(kBinary).divide;
  const std::int64_t pieces = chunk_count(plan.row, kGrain);  // of a row
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / plan.row);
  parallel_for(plan.rows * pieces, grain, [=, &plan](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / pieces;
      const std::int64_t column = i % pieces * kGrain;
      divide(x + plan.offsets(row).a + column * plan.a_row, plan.a_row, &divisor, 0,
             y + row * plan.row + column, std::min(kGrain, plan.row - column));
    }
  });
  return {};
}

}  // namespace

void register_broadcast_to(OpTable& table) { table.add("DmBroadcastTo", broadcast_to); }

}  // namespace dm::cpu
