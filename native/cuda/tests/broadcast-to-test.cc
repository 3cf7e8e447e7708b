// SPDX-License-Identifier: Apache-2.0
// Repeating and dividing on the device: one division each, so exact.
#include <cstddef>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::run_device_op;
using dm::test::unwritten;

TEST("repeats along any axes, rows by fours and not") {
  struct Case {
    std::size_t x[3], y[3];
  };
  for (const Case& c : {Case{{1, 1, 1}, {2, 3, 4}}, Case{{2, 1, 4}, {2, 3, 4}},
                        Case{{2, 3, 1}, {2, 3, 5}}, Case{{1, 3, 7}, {5, 3, 7}},
                        Case{{2, 3, 8}, {2, 3, 8}}}) {
    std::vector<float> x = noise(c.x[0] * c.x[1] * c.x[2], 1);
    std::vector<float> y = unwritten(c.y[0] * c.y[1] * c.y[2]);
    std::vector<double> numbers{3, 3};
    for (const std::size_t size : c.x) numbers.push_back(static_cast<double>(size));
    for (const std::size_t size : c.y) numbers.push_back(static_cast<double>(size));
    CHECK_EQUAL(run_device_op("DmBroadcastTo", {buffer_of(x), buffer_of(y)}, numbers), "");
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t place[3] = {i / (c.y[1] * c.y[2]), i / c.y[2] % c.y[1], i % c.y[2]};
      std::size_t at = 0;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        at = at * c.x[axis] + (c.x[axis] == 1 ? 0 : place[axis]);
      }
      CHECK_EQUAL(y[i], x[at] / 3.0f);
    }
  }
}

TEST("refuses a smaller shape") {
  std::vector<float> x(4);
  CHECK_EQUAL(run_device_op("DmBroadcastTo", {buffer_of(x), buffer_of(x)}, {1, 1, 4, 1}),
              "DmBroadcastTo: expected a shape that x broadcasts to, got a smaller one");
}
