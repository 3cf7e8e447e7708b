// SPDX-License-Identifier: Apache-2.0
// Geometry only; small beside the attention it describes, so it is made for each call.
#include "cpu/window-plan.h"

#include <string>

namespace dm::cpu {

namespace {

constexpr float kMasked = -100.0f * 1.44269504f;

struct Axis {
  std::int64_t length;
  std::int64_t window;
  std::int64_t shift;

  /// Before the last window, its first part, its wrapped part.
  int band(std::int64_t position) const {
    if (shift == 0 || position < length - window) return 0;
    return position < length - shift ? 1 : 2;
  }
  std::int64_t rolled(std::int64_t position) const { return (position + shift) % length; }
};

Axis read_axis(Arguments& in, std::size_t first) {
  Axis axis{in.count(first), in.count(first + 2), in.count(first + 4)};
  if (axis.window > 0 && axis.length % axis.window != 0) {
    in.fail("a grid that the window divides",
            std::to_string(axis.length) + " by " + std::to_string(axis.window));
  }
  if (axis.window > 0 && axis.shift >= axis.window) {
    in.fail("a shift shorter than the window", std::to_string(axis.shift));
  }
  if (axis.length <= axis.window) axis.shift = 0;  // one window along it: nothing to shift
  return axis;
}

void add_biases(WindowPlan& plan, const Axis& down, const Axis& right) {
  plan.table_rows = (2 * down.window - 1) * (2 * right.window - 1);
  for (std::int64_t query = 0; query < plan.tokens; ++query) {
    for (std::int64_t key = 0; key < plan.tokens; ++key) {
      const std::int64_t rows = query / right.window - key / right.window + down.window - 1;
      const std::int64_t columns = query % right.window - key % right.window + right.window - 1;
      plan.bias_index.push_back(static_cast<std::int32_t>(rows * (2 * right.window - 1) + columns));
    }
  }
}

/// The mask of one window from the regions of its tokens; none when they are all the same.
void add_mask(WindowPlan& plan, const std::vector<int>& regions) {
  bool same = true;
  for (const int region : regions) same = same && region == regions[0];
  plan.mask_of.push_back(same ? -1 : static_cast<std::int64_t>(plan.masks.size()));
  if (same) return;
  for (const int query : regions) {
    const std::size_t start = plan.masks.size();
    plan.masks.resize(start + static_cast<std::size_t>(plan.row_stride), 0.0f);
    for (std::size_t key = 0; key < regions.size(); ++key) {
      if (regions[key] != query) plan.masks[start + key] = kMasked;
    }
  }
}

}  // namespace

WindowPlan read_window_plan(Arguments& in, std::size_t first, std::int64_t tokens) {
  WindowPlan plan;
  const Axis down = read_axis(in, first);
  const Axis right = read_axis(in, first + 1);
  if (!in.ok() || down.window == 0 || right.window == 0) return plan;
  if (down.length * right.length != tokens) {
    in.fail("as many tokens as the grid has", std::to_string(tokens));
    return plan;
  }
  plan.tokens = down.window * right.window;
  plan.row_stride = (plan.tokens + 15) / 16 * 16;
  plan.windows = tokens / plan.tokens;
  add_biases(plan, down, right);
  std::vector<int> regions(static_cast<std::size_t>(plan.tokens));
  const std::int64_t across = right.length / right.window;
  for (std::int64_t window = 0; window < plan.windows; ++window) {
    for (std::int64_t token = 0; token < plan.tokens; ++token) {
      const std::int64_t row = window / across * down.window + token / right.window;
      const std::int64_t column = window % across * right.window + token % right.window;
      const std::int64_t place = down.rolled(row) * right.length + right.rolled(column);
      plan.order.push_back(static_cast<std::int32_t>(place));
      regions[static_cast<std::size_t>(token)] = 3 * down.band(row) + right.band(column);
    }
    add_mask(plan, regions);
  }
  return plan;
}

}  // namespace dm::cpu
