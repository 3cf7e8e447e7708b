// SPDX-License-Identifier: Apache-2.0
// Merging of axes.
#include "core/broadcast.h"

#include <string>

namespace dm {

namespace {

struct Axis {
  std::int64_t size, a_step, b_step;
};

}  // namespace

Broadcast::Offsets Broadcast::offsets(std::int64_t index) const {
  Offsets result{0, 0};
  for (std::size_t axis = rank; axis-- > 0;) {
    const std::int64_t place = index % sizes[axis];
    index /= sizes[axis];
    result.a += place * a_step[axis];
    result.b += place * b_step[axis];
  }
  return result;
}

Broadcast read_broadcast(Arguments& in, std::size_t first) {
  Broadcast plan;
  const auto rank = static_cast<std::size_t>(in.count(first));
  if (rank > kMaxRank) in.fail("a rank of at most 8", std::to_string(rank));
  if (!in.ok()) return plan;
  plan.a_count = in.product(first + 1, rank);
  plan.b_count = in.product(first + 1 + rank, rank);

  // Innermost first; an axis of size 1 steps nowhere and vanishes.
  std::array<Axis, kMaxRank> axes{};
  std::size_t kept = 0;
  std::int64_t a_step = 1;
  std::int64_t b_step = 1;
  std::int64_t total = 1;
  for (std::size_t axis = rank; axis-- > 0 && in.ok();) {
    const std::int64_t a = in.count(first + 1 + axis);
    const std::int64_t b = in.count(first + 1 + rank + axis);
    if (a != b && a != 1 && b != 1) {
      in.fail("shapes that broadcast", std::to_string(a) + " against " + std::to_string(b));
    }
    const std::int64_t size = a == 1 ? b : a;
    if (size != 0 && total > kMaxCount / size) in.fail("at most 2^53 - 1 elements", "more");
    if (!in.ok()) return plan;
    total *= size;
    const Axis next{size, a == 1 ? 0 : a_step, b == 1 ? 0 : b_step};
    a_step *= a;
    b_step *= b;
    if (size == 1) continue;
    if (kept > 0) {
      Axis& last = axes[kept - 1];
      if (next.a_step == last.a_step * last.size && next.b_step == last.b_step * last.size) {
        last.size *= size;
        continue;
      }
    }
    axes[kept++] = next;
  }
  if (total == 0) {
    plan.rows = 0;
    return plan;
  }
  if (kept == 0) return plan;
  plan.row = axes[0].size;
  plan.a_row = axes[0].a_step;
  plan.b_row = axes[0].b_step;
  plan.rank = kept - 1;
  for (std::size_t i = 0; i < plan.rank; ++i) {
    const Axis& axis = axes[kept - 1 - i];
    plan.sizes[i] = axis.size;
    plan.a_step[i] = axis.a_step;
    plan.b_step[i] = axis.b_step;
    plan.rows *= axis.size;
  }
  return plan;
}

}  // namespace dm
