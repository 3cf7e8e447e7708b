// SPDX-License-Identifier: Apache-2.0
#include "cpu/window-plan.h"

namespace dm::cpu {

namespace {

/// The mask of a window: what is added for a query and a key of different regions. None when its tokens are of one region.
void add_mask(WindowPlan& plan, const WindowGrid& grid, int window) {
  const bool mixed = grid.mixed(window);
  plan.mask_of.push_back(mixed ? static_cast<std::int64_t>(plan.masks.size()) : -1);
  if (!mixed) return;
  std::vector<int> regions;
  for (int place = 0; place < grid.tokens(); ++place) regions.push_back(grid.region(window, place));
  for (const int query : regions) {
    const std::size_t start = plan.masks.size();
    plan.masks.resize(start + static_cast<std::size_t>(plan.row_stride), 0.0f);
    for (std::size_t key = 0; key < regions.size(); ++key) {
      if (regions[key] != query) plan.masks[start + key] = kOtherRegion;
    }
  }
}

}  // namespace

WindowPlan::WindowPlan(const WindowGrid& grid) {
  if (!grid.any()) return;
  windows = grid.windows();
  tokens = grid.tokens();
  row_stride = (tokens + 15) / 16 * 16;
  table_rows = grid.table_rows();
  for (int query = 0; query < grid.tokens(); ++query) {
    for (int key = 0; key < grid.tokens(); ++key) {
      bias_index.push_back(grid.code(query) - grid.code(key) + grid.centre());
    }
  }
  for (int window = 0; window < grid.windows(); ++window) {
    for (int place = 0; place < grid.tokens(); ++place) order.push_back(grid.token(window, place));
    add_mask(*this, grid, window);
  }
}

}  // namespace dm::cpu
