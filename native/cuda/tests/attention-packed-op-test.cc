// SPDX-License-Identifier: Apache-2.0
// The op of packed attention in bfloat16 against that of float32, from the same values.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/core/bf16.cuh"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::noise;
using dm::test::relative_error;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

using Floats = std::vector<float>;
using Words = std::vector<std::uint16_t>;

Words rounded(Floats& values) {
  Words words;
  for (float& value : values) {
    words.push_back(dm::cuda::to_bf16(value).bits);
    value = dm::cuda::to_float(dm::cuda::bf16{words.back()});
  }
  return words;
}

/// `count` columns of a packed matrix from `first` on.
Floats columns(const Floats& packed, std::size_t width, std::size_t first, std::size_t count) {
  Floats values;
  for (std::size_t row = 0; row < packed.size() / width; ++row) {
    for (std::size_t c = 0; c < count; ++c) values.push_back(packed[row * width + first + c]);
  }
  return values;
}
Floats columns(const Words& packed, std::size_t width, std::size_t first, std::size_t count) {
  Floats wide;
  for (const std::uint16_t word : packed) wide.push_back(dm::cuda::to_float(dm::cuda::bf16{word}));
  return columns(wide, width, first, count);
}

struct Case {
  std::size_t batch, queries, keys, width, heads;
  bool cross, biased;
  std::vector<double> windows;
};

void compare(const Case& t) {
  const std::size_t own_width = t.cross ? t.width : 3 * t.width;
  const std::size_t rows = t.batch * t.queries;
  Floats own = noise(rows * own_width, 1), context = noise(t.cross ? t.batch * t.keys * 2 * t.width : 0, 2);
  Floats dy = noise(rows * t.width, 3), table = noise(t.biased ? 7 * 7 * t.heads : 0, 4);
  Words own_words = rounded(own), context_words = rounded(context), dy_words = rounded(dy);
  const Floats& keyed = t.cross ? context : own;
  const std::size_t keyed_width = t.cross ? 2 * t.width : own_width;
  const std::size_t first = t.cross ? 0 : t.width;
  Floats query = columns(own, own_width, 0, t.width);
  Floats key = columns(keyed, keyed_width, first, t.width), value = columns(keyed, keyed_width, first + t.width, t.width);
  Floats y = unwritten(rows * t.width), sums = unwritten(rows * t.heads), sums_of_words = sums;
  Floats d_query = y, d_key = unwritten(key.size()), d_value = d_key, d_table = unwritten(table.size()), d_table_of_words = d_table;
  Words y_words(y.size(), 0x7fff), d_own(own.size(), 0x7fff), d_context(context.size(), 0x7fff);
  const auto n = [](std::size_t count) { return static_cast<double>(count); };
  std::vector<double> shape{n(t.batch), n(t.queries), n(t.keys), n(t.width), n(t.heads)};
  std::vector<double> numbers = shape, packed = shape;
  numbers.push_back(t.biased ? 1.0 : 0.0);
  packed.insert(packed.end(), {t.cross ? 1.0 : 0.0, t.biased ? 1.0 : 0.0});
  for (auto* list : {&numbers, &packed}) list->insert(list->end(), t.windows.begin(), t.windows.end());
  CHECK_EQUAL(run_device_op("DmAttention", {buffer_of(query), buffer_of(key), buffer_of(value), buffer_of(table), buffer_of(y), buffer_of(sums)}, numbers), "");
  std::vector<dm::Buffer> back{buffer_of(dy), buffer_of(query), buffer_of(key), buffer_of(value), buffer_of(table), buffer_of(y), buffer_of(sums),
                               buffer_of(d_query), buffer_of(d_key), buffer_of(d_value)};
  if (t.biased) back.push_back(buffer_of(d_table));
  CHECK_EQUAL(run_device_op("DmAttentionGrad", back, numbers), "");
  CHECK_EQUAL(run_device_op("DmPackedAttention", {buffer_of(own_words), buffer_of(context_words), buffer_of(table), buffer_of(y_words), buffer_of(sums_of_words)}, packed), "");
  CHECK_EQUAL(run_device_op("DmPackedAttentionGrad",
                            {buffer_of(dy_words), buffer_of(own_words), buffer_of(context_words), buffer_of(table), buffer_of(y_words),
                             buffer_of(sums_of_words), buffer_of(d_own), buffer_of(d_context), buffer_of(d_table_of_words)},
                            packed),
              "");
  const Words& d_keyed = t.cross ? d_context : d_own;
  CHECK_ERROR(relative_error(columns(y_words, t.width, 0, t.width), y), 5e-3);
  CHECK_ERROR(relative_error(sums_of_words, sums), 1e-5);
  CHECK_ERROR(relative_error(columns(d_own, own_width, 0, t.width), d_query), 8e-3);
  CHECK_ERROR(relative_error(columns(d_keyed, keyed_width, first, t.width), d_key), 8e-3);
  CHECK_ERROR(relative_error(columns(d_keyed, keyed_width, first + t.width, t.width), d_value), 8e-3);
  CHECK_ERROR(relative_error(d_table_of_words, d_table), 8e-3);
}

const std::vector<double> kNoWindows(6, 0);

}  // namespace

TEST("self, across to a context, and in shifted windows with biases, forward and backward") {
  compare({2, 17, 17, 64, 2, false, false, kNoWindows});
  compare({1, 51, 51, 64, 1, false, false, kNoWindows});
  compare({2, 19, 33, 64, 2, true, false, kNoWindows});
  compare({2, 64, 64, 64, 2, false, true, {8, 8, 4, 4, 2, 2}});
}

TEST("says what does not fit") {
  Floats none;
  std::vector<dm::Buffer> buffers(5, buffer_of(none));
  CHECK_EQUAL(run_device_op("DmPackedAttention", buffers, {1, 4, 5, 32, 1, 0, 0, 0, 0, 0, 0, 0, 0}),
              "DmPackedAttention: expected as many keys as queries, got 5");
}
