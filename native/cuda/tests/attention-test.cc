// SPDX-License-Identifier: Apache-2.0
// Attention of float32 on the device against float64, for every way that the kernels cut their work.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "attention-case.h"
#include "device-run.h"

using namespace dm::test;

namespace {

using Attention = AttentionCase<run_device_op>;
constexpr auto in_windows = attention_in_windows<run_device_op>;

}  // namespace

TEST("equals float64 for odd lengths and head widths") {
  for (const std::size_t depth : {std::size_t{1}, std::size_t{6}, std::size_t{32}, std::size_t{48}}) {
    for (const auto& [queries, keys] : {std::pair<std::size_t, std::size_t>{1, 1},
                                        {15, 16},
                                        {17, 3},
                                        {1, 51}}) {
      Attention{{2, queries, keys, 2 * depth, 2}}.check();
    }
  }
}

TEST("equals float64 at lengths past a tile, of both sides") {
  Attention{{1, 102, 65, 32, 1}}.check();
  Attention{{1, 64, 157, 6, 1}}.check();
}

TEST("equals float64 at head widths past what is read at a time") {
  Attention{{1, 15, 16, 80, 1}}.check();
  Attention{{1, 17, 66, 130, 1}}.check();
}

TEST("equals the whole grid with other windows hidden, in shifted windows") {
  in_windows(2, 2, 32, {8, 8, 4, 4, 2, 2}, true).check();
  in_windows(3, 2, 12, {4, 8, 4, 4, 2, 2}, true).check();
  in_windows(1, 3, 24, {6, 4, 3, 2, 1, 1}, true).check();
  in_windows(2, 1, 8, {8, 4, 4, 4, 2, 2}, false).check();
}

TEST("equals the whole grid in windows past a tile") {
  in_windows(1, 2, 8, {10, 14, 10, 7, 0, 3}, true).check();
}

TEST("adds up the table's gradient of more windows than parts") {
  in_windows(20, 2, 8, {8, 16, 2, 4, 1, 3}, true).check();
}

TEST("gives zeros without keys, and zero gradients without queries") {
  const auto zero = [](const Floats32& values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return value == 0.0f; });
  };
  Attention keyless{{2, 3, 0, 8, 2}};
  keyless.prepare();
  CHECK_EQUAL(keyless.run(), "");
  CHECK(zero(keyless.y) && zero(keyless.log_sums) && zero(keyless.d_query));
  Attention idle{{2, 0, 3, 8, 2}};
  idle.prepare();
  CHECK_EQUAL(idle.run(), "");
  CHECK(zero(idle.d_key) && zero(idle.d_value));
}

TEST("does not overflow with large scores, and keeps NaN") {
  Attention call{{1, 4, 20, 8, 1}};
  call.prepare();
  for (float& x : call.query) x *= 1e4f;
  CHECK_EQUAL(call.run(), "");
  const Reals expected = attend(call.z, reals(call.query), reals(call.key), reals(call.value), {});
  CHECK_ERROR(distance(call.y, expected), 1e-2);
  call.prepare();
  call.key[0] = NAN;
  CHECK_EQUAL(call.run(), "");
  CHECK(std::isnan(call.y[0]));
}

TEST("says what does not fit") {
  const auto refused = [](Attention call) {
    call.prepare();
    return call.run();
  };
  CHECK_EQUAL(refused(Attention{{1, 4, 4, 10, 3}}),
              "DmAttention: expected heads that divide the width, got 3");
  CHECK_EQUAL(refused(in_windows(1, 1, 4, {6, 4, 4, 4, 0, 0}, false)),
              "DmAttention: expected a grid that the window divides, got 6 by 4");
  CHECK_EQUAL(refused(in_windows(1, 1, 4, {8, 4, 4, 4, 4, 0}, false)),
              "DmAttention: expected a shift shorter than the window, got 4");
  Attention wrong = in_windows(1, 1, 4, {8, 4, 4, 4, 0, 0}, false);
  wrong.z.queries = wrong.z.keys = 31;
  CHECK_EQUAL(refused(wrong), "DmAttention: expected as many tokens as the grid has, got 31");
  wrong = in_windows(1, 1, 4, {8, 4, 4, 4, 0, 0}, false);
  wrong.z.keys = 31;
  CHECK_EQUAL(refused(wrong),
              "DmAttention: expected as many keys as queries with windows, got 31");
}
