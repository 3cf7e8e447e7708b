// SPDX-License-Identifier: Apache-2.0
// Attention of parts of packed projections on the device, as attention branches call it, against float64.
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "block-reference.h"
#include "cuda/attention.h"
#include "cuda/core/bf16.cuh"
#include "device-run.h"

using namespace dm::test;
using dm::cuda::bf16;
using dm::cuda::TokenMatrix;

namespace {

// bfloat16 has 8 bits of mantissa: outputs are rounded once (2^-9 at most), weights and gradients of scores once more.
constexpr double kForward = 5e-3;
constexpr double kBackward = 8e-3;

/// A vector's values on the device, until it is destroyed.
template <class T>
class There {
 public:
  explicit There(std::vector<T>& here) : here_(here), data_(device().allocate(bytes())) {
    device().upload(data_, here.data(), bytes());
  }
  ~There() { device().release(data_); }
  There(const There&) = delete;
  There& operator=(const There&) = delete;

  T* data() const { return static_cast<T*>(data_); }
  void fetch() { device().download(here_.data(), data_, bytes()); }

 private:
  std::size_t bytes() const { return here_.size() * sizeof(T); }

  std::vector<T>& here_;
  void* data_;
};

void put(bf16& to, float value) { to = dm::cuda::to_bf16(value); }
void put(float& to, float value) { to = value; }

/// Columns first .. of a packed matrix [rows, width], and what lies beside them.
template <class T>
struct Packed {
  std::size_t rows, width;
  std::vector<T> data;

  Packed(std::size_t row_count, std::size_t columns, float value)
      : rows(row_count), width(columns), data(row_count * columns) {
    for (T& x : data) put(x, value);
  }
  void fill(std::size_t first, std::size_t count, unsigned seed, float shift = 0) {
    const Floats32 values = draw(rows * count, seed);
    for (std::size_t i = 0; i < values.size(); ++i) {
      put(data[i / count * width + first + i % count], values[i] + shift);
    }
  }
  Floats32 part(std::size_t first, std::size_t count) const {
    Floats32 values(rows * count);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = dm::cuda::to_float(data[i / count * width + first + i % count]);
    }
    return values;
  }
};

/// The columns of a packed matrix on the device from `first` on.
template <class T>
TokenMatrix columns(const There<T>& there, const Packed<T>& packed, std::size_t first) {
  return {there.data() + first, static_cast<std::int64_t>(packed.width)};
}

template <class T>
struct Packing {
  AttentionSizes z;
  dm::WindowGrid grid{};
  bool biased = false;
  std::size_t beside = 0;  ///< columns before the first part: 1 leaves nothing aligned
  float apart = 0;         ///< what is added to queries and taken from keys: scores far below 0

  /// Of the bounds. A common part of keys cancels in dQ, and what was rounded beside it does not.
  double factor() const { return (sizeof(T) == sizeof(float) ? 1e-3 : 1) * (apart > 0 ? 10 : 1); }

  dm::cuda::AttentionShape shape(const float* table) const {
    const auto n = [](std::size_t x) { return static_cast<std::int64_t>(x); };
    return {n(z.batch), n(z.queries),      n(z.keys), n(z.heads),
            n(z.width / z.heads), grid, biased ? table : nullptr,
            sizeof(T) == sizeof(bf16)};
  }

  Windows windows() const {
    const auto n = [](int x) { return static_cast<std::size_t>(x); };
    return {n(grid.rows), n(grid.columns), n(grid.a), n(grid.b), n(grid.down), n(grid.right)};
  }

  void check() const {
    const std::size_t c = z.width;
    const bool self = z.queries == z.keys;
    // Self: query, key and value in one matrix; across: the query alone, key and value in one.
    Packed<T> own(z.batch * z.queries, beside + (self ? 3 * c : c), NAN);
    Packed<T> context(z.batch * z.keys, beside + 2 * c, NAN);
    own.fill(beside, c, 1, apart);
    Packed<T>& keys = self ? own : context;
    const std::size_t key = beside + (self ? c : 0);
    keys.fill(key, c, 2, -apart);
    keys.fill(key + c, c, 3);
    Packed<T> output(z.batch * z.queries, c, NAN);
    Packed<T> gradient(z.batch * z.queries, c, NAN);
    gradient.fill(0, c, 4);
    Packed<T> d_own(own.rows, own.width, NAN);
    Packed<T> d_context(context.rows, context.width, NAN);
    Packed<T>& d_keys = self ? d_own : d_context;
    Floats32 table = biased ? draw(windows().table_rows() * z.heads, 5) : Floats32();
    Floats32 d_table = unwritten(table.size());
    Floats32 log_sums = unwritten(z.batch * z.queries * z.heads);
    {
      There<T> own_there(own.data), context_there(context.data), y_there(output.data);
      There<T> dy_there(gradient.data), d_own_there(d_own.data), d_context_there(d_context.data);
      There<float> table_there(table), d_table_there(d_table), log_sums_there(log_sums);
      const auto part = [&](std::size_t first) {
        return self ? columns(own_there, own, first) : columns(context_there, context, first);
      };
      const auto d_part = [&](std::size_t first) {
        return self ? columns(d_own_there, d_own, first)
                    : columns(d_context_there, d_context, first);
      };
      const dm::cuda::AttentionShape sizes = shape(table_there.data());
      dm::cuda::Device& on = device();
      CHECK_EQUAL(dm::cuda::attention_forward(on, sizes, columns(own_there, own, beside), part(key),
                                              part(key + c), columns(y_there, output, 0),
                                              log_sums_there.data())
                      .message(),
                  "");
      CHECK_EQUAL(dm::cuda::attention_backward(
                      on, sizes, columns(own_there, own, beside), part(key), part(key + c),
                      columns(y_there, output, 0), columns(dy_there, gradient, 0),
                      log_sums_there.data(),
                      {columns(d_own_there, d_own, beside), d_part(key), d_part(key + c),
                       d_table_there.data()},
                      on.scratch(dm::cuda::attention_backward_scratch(sizes)))
                      .message(),
                  "");
      y_there.fetch();
      d_own_there.fetch();
      d_context_there.fetch();
      d_table_there.fetch();
    }

    const Reals added = grid.any() ? windows().added(reals(table), z.heads) : Reals();
    const Reals dy = reals(gradient.part(0, c));
    AttentionGradient d;
    const Reals y = attend(z, reals(own.part(beside, c)), reals(keys.part(key, c)),
                           reals(keys.part(key + c, c)), added, &dy, &d);
    CHECK_ERROR(relative_error(output.part(0, c), y), kForward * factor());
    CHECK_ERROR(relative_error(d_own.part(beside, c), d.query), kBackward * factor());
    CHECK_ERROR(relative_error(d_keys.part(key, c), d.key), kBackward * factor());
    CHECK_ERROR(relative_error(d_keys.part(key + c, c), d.value), kBackward * factor());
    if (biased) {
      CHECK_ERROR(relative_error(d_table, windows().table_gradient(d.added, z.heads)),
                  kBackward * factor());
    }
    // Columns beside the parts are another's.
    for (std::size_t row = 0; row < d_own.rows && beside > 0; ++row) {
      CHECK(std::isnan(dm::cuda::to_float(d_own.data[row * d_own.width])));
    }
  }
};

using Halves = Packing<bf16>;

}  // namespace

TEST("tensor cores are within bfloat16 of float64 at the edges of tiles") {
  for (const std::size_t width : {std::size_t{32}, std::size_t{64}}) {
    for (const std::size_t length : {std::size_t{1}, std::size_t{16}, std::size_t{17},
                                     std::size_t{51}, std::size_t{64}, std::size_t{65}}) {
      Halves{{1, length, length, 2 * width, 2}}.check();
    }
  }
}

TEST("tensor cores take every cut of keys into warps and groups") {
  Halves{{2, 102, 102, 64, 1}}.check();
  Halves{{1, 20, 157, 64, 1}}.check();
  Halves{{1, 66, 314, 64, 1}}.check();
  Halves{{1, 20, 330, 32, 1}}.check();
  Halves{{1, 66, 157, 32, 1}}.check();
  Halves{{1, 33, 313, 64, 2}}.check();
  Halves{{1, 33, 81, 32, 1}}.check();
}

TEST("tensor cores leave out keys past the end where these would weigh more than any") {
  Halves{{1, 20, 19, 64, 2}, {}, false, 0, 6}.check();
  Halves{{1, 20, 67, 64, 1}, {}, false, 0, 6}.check();
}

TEST("refuses lengths that kernels cannot count") {
  dm::cuda::AttentionShape shape{1, 1, std::int64_t{1} << 30, 1, 32, {}, nullptr, true};
  CHECK_EQUAL(dm::cuda::attention_forward(device(), shape, {}, {}, {}, {}, nullptr).message(),
              "attention: expected lengths and widths below 2^30, got 1073741824");
}

TEST("tensor cores take the lengths of video decoders") {
  Halves{{1, 1254, 314, 32, 1}}.check();
  Halves{{1, 1568, 1568, 32, 1}}.check();
}

TEST("tensor cores take tiles of 128 queries") {
  Halves{{1, 530, 18, 64, 1}}.check();
  Halves{{1, 590, 18, 32, 1}}.check();
}

TEST("other widths, and rows that are not aligned, are within bfloat16 too") {
  Halves{{2, 17, 19, 48, 2}}.check();
  Halves{{1, 18, 18, 64, 2}, {}, false, 1}.check();
}

TEST("float32 reads packed parts in place") {
  Packing<float>{{2, 18, 18, 24, 2}, {}, false, 3}.check();
  Packing<float>{{2, 5, 18, 24, 2}}.check();
}

TEST("windows of packed parts in place") {
  Packing<float>{{2, 32, 32, 24, 2}, {8, 4, 4, 4, 2, 0}, true, 1}.check();
  Halves{{2, 32, 32, 48, 2}, {8, 4, 4, 4, 2, 0}, true}.check();
  Halves{{1, 32, 32, 64, 2}, {8, 4, 8, 4, 0, 0}, true}.check();
}

TEST("windows of 16 tokens by tensor cores are within bfloat16 of float64") {
  // Heads that do not fill a block, no table, other shapes of 16, and more windows than the blocks take at a time.
  Halves{{3, 64, 64, 160, 5}, {8, 8, 4, 4, 2, 2}, true}.check();
  Halves{{1, 32, 32, 128, 2}, {4, 8, 4, 4, 0, 1}, true}.check();
  Halves{{2, 32, 32, 64, 2}, {8, 4, 4, 4, 2, 0}, false}.check();
  Halves{{1, 64, 64, 96, 3}, {4, 16, 2, 8, 1, 3}, true}.check();
  Halves{{70, 64, 64, 32, 1}, {8, 8, 4, 4, 2, 2}, true}.check();
}
