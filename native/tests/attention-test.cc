// SPDX-License-Identifier: Apache-2.0
// Attention and its gradient against float64, for every way that the kernels cut their work.
#include <string>

#include "attention-case.h"
#include "core/thread-pool.h"
#include "run-op.h"

using namespace dm::test;

namespace {

using Attention = AttentionCase<complaint>;
constexpr auto in_windows = attention_in_windows<complaint>;

}  // namespace

TEST("attention equals float64 for odd lengths and every head width") {
  for (const std::size_t depth : {1, 6, 16, 24, 32, 48, 64, 80}) {
    for (const auto& [queries, keys] : {std::pair<std::size_t, std::size_t>{1, 1},
                                       {5, 5},
                                       {7, 3},
                                       {1, 51},
                                       {51, 7},
                                       {102, 102}}) {
      Attention{{2, queries, keys, 2 * depth, 2}}.check();
    }
  }
}

TEST("attention with more keys than a block equals float64, in blocks of queries too") {
  Attention{{1, 19, 1030, 24, 1}}.check();
  Attention{{1, 300, 515, 16, 1}}.check();
}

TEST("attention in shifted windows equals the whole grid with other windows hidden") {
  in_windows(2, 2, 32, {8, 8, 4, 4, 2, 2}, true).check();
  in_windows(3, 2, 48, {4, 8, 4, 4, 2, 2}, true).check();
  in_windows(1, 3, 24, {6, 4, 3, 2, 1, 1}, true).check();
  in_windows(2, 1, 8, {8, 4, 4, 4, 2, 2}, false).check();
}

TEST("many windows: the table's gradient is a sum of partial sums") {
  in_windows(20, 2, 8, {8, 16, 2, 4, 1, 3}, true).check();
}

TEST("attention has the same bits for 1 and for 4 threads") {
  const int before = dm::threads();
  for (const Attention& given : {Attention{{2, 102, 77, 64, 2}}, Attention{{1, 400, 40, 16, 1}},
                         in_windows(9, 2, 32, {8, 8, 4, 4, 2, 2}, true)}) {
    Attention call = given;
    dm::set_threads(1);
    call.prepare();
    CHECK_EQUAL(call.run(), "");
    const Attention one = call;
    dm::set_threads(4);
    call.prepare();
    CHECK_EQUAL(call.run(), "");
    CHECK(call.y == one.y);
    CHECK(call.d_query == one.d_query);
    CHECK(call.d_key == one.d_key);
    CHECK(call.d_value == one.d_value);
    CHECK(call.d_table == one.d_table);
  }
  dm::set_threads(before);
}

TEST("large scores do not overflow, and NaN stays") {
  Attention call{{1, 4, 20, 8, 1}};
  call.prepare();
  for (float& x : call.query) x *= 1e4f;
  CHECK_EQUAL(call.run(), "");
  const Reals expected = attend(call.z, reals(call.query), reals(call.key), reals(call.value), {});
  CHECK(distance(call.y, expected) < 1e-2);
  call.prepare();
  call.key[0] = NAN;
  CHECK_EQUAL(call.run(), "");
  CHECK(std::isnan(call.y[0]));
}

TEST("no queries: no gradient of keys; no keys: zeros") {
  Attention none{{2, 0, 3, 4, 2}};
  none.prepare();
  CHECK_EQUAL(none.run(), "");
  CHECK(none.d_key == Floats32(24, 0));
  CHECK(none.d_value == Floats32(24, 0));
  Attention keyless{{2, 3, 0, 4, 2}};
  keyless.prepare();
  CHECK_EQUAL(keyless.run(), "");
  CHECK(keyless.y == Floats32(24, 0));
  CHECK(keyless.d_query == Floats32(24, 0));
}

TEST("attention names what does not fit") {
  Attention call{{1, 4, 4, 6, 4}};
  call.prepare();
  CHECK_EQUAL(call.run(), "DmAttention: expected heads that divide the width, got 4");
  Attention grid = in_windows(1, 1, 4, {3, 4, 2, 2, 0, 0}, false);
  grid.prepare();
  CHECK_EQUAL(grid.run(), "DmAttention: expected a grid that the window divides, got 3 by 2");
  grid.windows = {2, 4, 2, 2, 0, 2};
  CHECK_EQUAL(grid.run(), "DmAttention: expected a shift shorter than the window, got 2");
  grid.windows = {2, 4, 2, 2, 0, 0};
  CHECK_EQUAL(grid.run(), "DmAttention: expected as many tokens as the grid has, got 12");
}
