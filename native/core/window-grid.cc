// SPDX-License-Identifier: Apache-2.0
#include "core/window-grid.h"

#include <string>

#include "core/arguments.h"

namespace dm {

namespace {

struct Axis {
  std::int64_t length, window, shift;
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

}  // namespace

WindowGrid read_window_grid(Arguments& in, std::size_t first, std::int64_t tokens) {
  const Axis down = read_axis(in, first);
  const Axis right = read_axis(in, first + 1);
  if (!in.ok() || down.window == 0 || right.window == 0) return {};
  if (in.elements({down.length, right.length}) != tokens) {
    in.fail("as many tokens as the grid has", std::to_string(tokens));
  } else if (tokens > INT32_MAX) {
    in.fail("a grid of fewer than 2^31 tokens", std::to_string(tokens));
  }
  if (!in.ok() || tokens == 0) return {};
  return {.rows = static_cast<int>(down.length),
          .columns = static_cast<int>(right.length),
          .a = static_cast<int>(down.window),
          .b = static_cast<int>(right.window),
          .down = static_cast<int>(down.shift),
          .right = static_cast<int>(right.shift)};
}

}  // namespace dm
