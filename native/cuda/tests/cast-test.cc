// SPDX-License-Identifier: Apache-2.0
// Conversions between dtypes on the device: what JavaScript's typed arrays do.
#include <cstdint>
#include <limits>
#include <vector>

#include "device-run.h"

using dm::test::buffer_of;
using dm::test::run_device_op;

namespace {

template <typename R, typename T>
std::vector<R> cast(std::vector<T> x, double from, double to) {
  std::vector<R> y(x.size(), R{9});
  CHECK_EQUAL(run_device_op("Cast", {buffer_of(x), buffer_of(y)},
                            {from, to, static_cast<double>(x.size())}),
              "");
  return y;
}

}  // namespace

TEST("goes to int32 towards zero and modulo 2^32, NaN and infinities to 0") {
  using Limits = std::numeric_limits<float>;
  const std::vector<float> x{1.9f,         -1.9f,       2147483648.0f,       4294967296.0f,
                             -4294967808.0f, 0x1p70f, Limits::quiet_NaN(), -Limits::infinity(),
                             0x1.8p32f};
  CHECK((cast<std::int32_t>(x, 0, 1) ==
         std::vector<std::int32_t>{1, -1, -2147483647 - 1, 0, -512, 0, 0, 0, -2147483647 - 1}));
}

TEST("goes to bool, and from bool and int32 to wider types") {
  CHECK((cast<std::uint8_t>(std::vector<float>{0, -0.0f, 0.5f,
                                               std::numeric_limits<float>::quiet_NaN(), -1},
                            0, 2) == std::vector<std::uint8_t>{0, 0, 1, 1, 1}));
  CHECK((cast<std::uint8_t>(std::vector<std::int32_t>{0, 256, -1}, 1, 2) ==
         std::vector<std::uint8_t>{0, 1, 1}));
  CHECK((cast<float>(std::vector<std::int32_t>{16777217, -3}, 1, 0) ==
         std::vector<float>{16777216, -3}));
  CHECK((cast<float>(std::vector<std::uint8_t>{0, 1, 1, 0, 1}, 2, 0) ==
         std::vector<float>{0, 1, 1, 0, 1}));
  CHECK((cast<std::int32_t>(std::vector<std::uint8_t>{0, 1}, 2, 1) ==
         std::vector<std::int32_t>{0, 1}));
}

TEST("refuses one dtype twice") {
  std::vector<float> x(1);
  CHECK_EQUAL(run_device_op("Cast", {buffer_of(x), buffer_of(x)}, {0, 0, 1}),
              "Cast: expected two different dtypes, got the same");
}
