// SPDX-License-Identifier: Apache-2.0
// Grouping of axes.
#include "core/reduction.h"

#include <algorithm>
#include <string>

namespace dm {

std::int64_t Reduction::Groups::total() const {
  std::int64_t product = 1;
  for (std::size_t i = 0; i < count; ++i) product *= sizes[i];
  return product;
}

std::int64_t Reduction::Groups::offset(std::int64_t index) const {
  std::int64_t result = 0;
  for (std::size_t i = count; i-- > 0; index /= sizes[i]) result += index % sizes[i] * steps[i];
  return result;
}

namespace {

void add_group(Reduction::Groups& groups, std::int64_t size, std::int64_t step) {
  groups.sizes[groups.count] = size;
  groups.steps[groups.count] = step;
  ++groups.count;
}

/// Groups are found innermost first.
void turn_round(Reduction::Groups& groups) {
  const auto end = static_cast<std::ptrdiff_t>(groups.count);
  std::reverse(groups.sizes.begin(), groups.sizes.begin() + end);
  std::reverse(groups.steps.begin(), groups.steps.begin() + end);
}

}  // namespace

Reduction read_reduction(Arguments& in, std::size_t first) {
  Reduction plan;
  const auto rank = static_cast<std::size_t>(in.count(first));
  if (rank > kMaxRank) in.fail("a rank of at most 8", std::to_string(rank));
  if (!in.ok()) return plan;
  plan.input_count = in.product(first + 1, rank);
  std::int64_t step = 1;
  bool row_found = false;
  bool last_reduced = false;
  std::int64_t* last_size = nullptr;  // of the group that a neighbour of its kind would join
  for (std::size_t axis = rank; axis-- > 0 && in.ok();) {
    const std::int64_t size = in.count(first + 1 + axis);
    const bool reduced = in.flag(first + 1 + rank + axis);
    (reduced ? plan.elements : plan.outputs) *= size;
    if (size == 1) continue;
    if (last_size != nullptr && reduced == last_reduced) {
      *last_size *= size;
    } else if (!row_found) {
      row_found = true;
      plan.row_is_reduced = reduced;
      plan.row = size;
      last_size = &plan.row;
    } else {
      Reduction::Groups& groups = reduced ? plan.reduced : plan.kept;
      add_group(groups, size, step);
      last_size = &groups.sizes[groups.count - 1];
    }
    last_reduced = reduced;
    step *= size;
  }
  turn_round(plan.kept);
  turn_round(plan.reduced);
  return plan;
}

}  // namespace dm
