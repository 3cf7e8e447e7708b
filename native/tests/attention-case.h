// SPDX-License-Identifier: Apache-2.0
// Attention of float32 and its gradient against float64, for every device.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "block-reference.h"
#include "buffers.h"
#include "check.h"

namespace dm::test {

/// The op and its gradient on made-up values. `kExecute(name, buffers, numbers)` runs an op on a device and returns its complaint.
template <auto kExecute>
struct AttentionCase {
  explicit AttentionCase(AttentionSizes sizes) : z(sizes) {}

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
    y = d_query = Floats32(query.size(), NAN);
    d_key = d_value = Floats32(key.size(), NAN);
    d_table = Floats32(table.size(), NAN);
    log_sums = Floats32(z.batch * z.queries * z.heads, NAN);
  }

  std::string run() {
    const std::string forward =
        kExecute("DmAttention",
                 {buffer_of(query), buffer_of(key), buffer_of(value), buffer_of(table),
                  buffer_of(y), buffer_of(log_sums)},
                 numbers());
    if (!forward.empty()) return forward;
    std::vector<Buffer> buffers{buffer_of(dy),      buffer_of(query), buffer_of(key),
                                    buffer_of(value),   buffer_of(table), buffer_of(y),
                                    buffer_of(log_sums), buffer_of(d_query), buffer_of(d_key),
                                    buffer_of(d_value)};
    if (biased) buffers.push_back(buffer_of(d_table));
    return kExecute("DmAttentionGrad", buffers, numbers());
  }

  void check() {
    prepare();
    CHECK_EQUAL(run(), "");
    const Reals added = windowed ? windows.added(reals(table), z.heads) : Reals();
    const Reals gradient = reals(dy);
    AttentionGradient d;
    const Reals expected =
        attend(z, reals(query), reals(key), reals(value), added, &gradient, &d);
    CHECK(distance(y, expected) < 2e-6);
    CHECK(distance(d_query, d.query) < 4e-6);
    CHECK(distance(d_key, d.key) < 4e-6);
    CHECK(distance(d_value, d.value) < 4e-6);
    if (biased) CHECK(distance(d_table, windows.table_gradient(d.added, z.heads)) < 1e-5);
  }
};

/// Attention in the windows of a grid, with a table of relative biases or without.
template <auto kExecute>
AttentionCase<kExecute> attention_in_windows(std::size_t batch, std::size_t heads,
                                             std::size_t width, Windows windows, bool biased) {
  AttentionCase<kExecute> call{{batch, windows.tokens(), windows.tokens(), width, heads}};
  call.windowed = true;
  call.windows = windows;
  call.biased = biased;
  return call;
}

}  // namespace dm::test
