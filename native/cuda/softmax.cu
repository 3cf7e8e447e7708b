// SPDX-License-Identifier: Apache-2.0
// Softmax and DmSoftmaxGrad on a device: buffers and numbers as in cpu/softmax.cc.
#include "cuda/softmax.cuh"

#include <string>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// Calls launch_with(held, fours): the fewest registers that hold a row, and whether it is read by fours. Rows that are not take more
/// registers for their places, so long ones are not held.
template <class Launch>
void with_row(int width, bool aligned, Launch launch_with) {
  const bool fours = width % 4 == 0 && aligned;
  const auto with_held = [&](auto held) {
    if (fours) return launch_with(held, std::true_type());
    return launch_with(held, std::false_type());
  };
  if (width <= 4 * kWarp) return with_held(std::integral_constant<int, 4>());
  if (width <= 16 * kWarp) return with_held(std::integral_constant<int, 16>());
  if (width <= 32 * kWarp && fours) {
    return launch_with(std::integral_constant<int, 32>(), std::true_type());
  }
  launch_with(std::integral_constant<int, 0>(), std::false_type());
}

/// Rows and width; no rows where there are no columns.
struct Rows {
  std::int64_t rows;
  int width;
  Grid grid;
};
Rows read_rows(Arguments& in) {
  const std::int64_t width = in.count(1);
  if (width > INT32_MAX) in.fail("rows of at most 2^31 - 1 columns", std::to_string(width));
  const std::int64_t rows = width == 0 ? 0 : in.count(0);
  return {rows, static_cast<int>(width),
          {.blocks = blocks_for(rows, kSoftmaxWarps), .threads = kSoftmaxWarps * kWarp}};
}

// buffers: x, y (may be one block). numbers: [rows, width].
Status value(Device& device, const OpArguments& arguments) {
  Arguments in("Softmax", arguments, 2, 2);
  const Rows rows = read_rows(in);
  const std::int64_t count = in.product(0, 2);
  const Softmax p{.x = in.buffer<float>(0, count),
                  .y = in.buffer<float>(1, count),
                  .rows = rows.rows,
                  .width = rows.width};
  if (!in.ok()) return in.status();
  with_row(p.width, all_aligned({p.x, p.y}, 16), [&](auto held, auto fours) {
    launch<softmax<held, fours>>(device, rows.grid, p);
  });
  return {};
}

// buffers: dy, y, dx. numbers: [rows, width].
Status gradient(Device& device, const OpArguments& arguments) {
  Arguments in("DmSoftmaxGrad", arguments, 3, 2);
  const Rows rows = read_rows(in);
  const std::int64_t count = in.product(0, 2);
  const SoftmaxGradient p{.dy = in.buffer<float>(0, count),
                          .y = in.buffer<float>(1, count),
                          .dx = in.buffer<float>(2, count),
                          .rows = rows.rows,
                          .width = rows.width};
  if (!in.ok()) return in.status();
  with_row(p.width, all_aligned({p.dy, p.y, p.dx}, 16), [&](auto held, auto fours) {
    launch<softmax_gradient<held, fours>>(device, rows.grid, p);
  });
  return {};
}

}  // namespace

void register_softmax(DeviceOpTable& table) {
  table.add("DmSoftmaxGrad", gradient);
  table.add("Softmax", value);
}

}  // namespace dm::cuda
