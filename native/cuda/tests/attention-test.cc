// SPDX-License-Identifier: Apache-2.0
// Attention of float32 on the device against float64, for every way that the kernels cut their work.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "block-reference.h"
#include "device-run.h"

using namespace dm::test;

namespace {

struct Attention {
  explicit Attention(AttentionSizes sizes) : z(sizes) {}

  AttentionSizes z;
  bool windowed = false;
  Windows windows{};
  bool biased = false;

  Floats32 query, key, value, table, dy;
  Floats32 y, log_sums, d_query, d_key, d_value, d_table;

  std::vector<double> numbers() const {
    const auto n = [](std::size_t x) { return static_cast<double>(x); };
    std::vector<double> result{n(z.batch), n(z.queries), n(z.keys), n(z.width), n(z.heads),
                               biased ? 1.0 : 0.0};
    const Windows& w = windows;
    for (const std::size_t x : {w.rows, w.columns, w.a, w.b, w.down, w.right}) {
      result.push_back(windowed ? n(x) : 0);
    }
    return result;
  }

  void prepare() {
    query = draw(z.batch * z.queries * z.width, 1);
    key = draw(z.batch * z.keys * z.width, 2);
    value = draw(z.batch * z.keys * z.width, 3);
    dy = draw(query.size(), 4);
    table = biased ? draw(windows.table_rows() * z.heads, 5) : Floats32();
    y = d_query = unwritten(query.size());
    d_key = d_value = unwritten(key.size());
    d_table = unwritten(table.size());
    log_sums = unwritten(z.batch * z.queries * z.heads);
  }

  std::string run() {
    const std::string forward =
        run_device_op("DmAttention",
                      {buffer_of(query), buffer_of(key), buffer_of(value), buffer_of(table),
                       buffer_of(y), buffer_of(log_sums)},
                      numbers());
    if (!forward.empty()) return forward;
    std::vector<dm::Buffer> buffers{buffer_of(dy),       buffer_of(query),   buffer_of(key),
                                    buffer_of(value),    buffer_of(table),   buffer_of(y),
                                    buffer_of(log_sums), buffer_of(d_query), buffer_of(d_key),
                                    buffer_of(d_value)};
    if (biased) buffers.push_back(buffer_of(d_table));
    return run_device_op("DmAttentionGrad", buffers, numbers());
  }

  void check() {
    prepare();
    CHECK_EQUAL(run(), "");
    const Reals added = windowed ? windows.added(reals(table), z.heads) : Reals();
    const Reals gradient = reals(dy);
    AttentionGradient d;
    const Reals expected =
        attend(z, reals(query), reals(key), reals(value), added, &gradient, &d);
    CHECK_ERROR(distance(y, expected), 2e-6);
    CHECK_ERROR(distance(d_query, d.query), 4e-6);
    CHECK_ERROR(distance(d_key, d.key), 4e-6);
    CHECK_ERROR(distance(d_value, d.value), 4e-6);
    if (biased) CHECK_ERROR(distance(d_table, windows.table_gradient(d.added, z.heads)), 1e-5);
  }
};

Attention in_windows(std::size_t batch, std::size_t heads, std::size_t width, Windows windows,
                     bool biased) {
  Attention call{{batch, windows.tokens(), windows.tokens(), width, heads}};
  call.windowed = true;
  call.windows = windows;
  call.biased = biased;
  return call;
}

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
