// SPDX-License-Identifier: Apache-2.0
// Sums, products, means, maxima and minima over any axes. Long outputs are cut at places that
// depend on the shape alone, and the parts are combined in order, so that the result has the same
// bits for any number of threads.
#include "cpu/simd/reduce.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/reduction.h"
#include "core/thread-pool.h"
#include "core/to-int32.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;

constexpr std::int64_t kGrain = 16384;  // elements a task has at least
constexpr std::int64_t kPart = 65536;   // elements of an output that are folded in one go
constexpr std::int64_t kTile = 512;     // columns that are folded together

/// Elements T, accumulators A, results R.
template <typename T, typename A, typename R>
struct Reducer {
  FoldKernels<T, A> fold;
  A zero;
  A (*combine)(A, A);
  R (*finish)(A total, double elements);
  R empty;  ///< the result of no elements
};

template <typename T, typename A, typename R>
class Task {
 public:
  Task(const Reducer<T, A, R>& reducer, const Reduction& plan, const T* x, R* out)
      : reducer_(reducer), plan_(plan), x_(x), out_(out) {}

  void run() const {
    if (plan_.elements == 0) {
      std::fill(out_, out_ + plan_.outputs, reducer_.empty);
    } else if (plan_.outputs != 0) {
      plan_.row_is_reduced ? reduce_rows() : reduce_columns();
    }
  }

 private:
  void finish(std::int64_t output, A total) const {
    out_[output] = reducer_.finish(total, static_cast<double>(plan_.elements));
  }

  /// Pieces of rows, `pieces` for each output; several make a part.
  void reduce_rows() const {
    const std::int64_t cuts = chunk_count(plan_.row, kPart);
    const std::int64_t pieces = plan_.reduced.total() * cuts;
    const std::int64_t length = std::min(plan_.row, kPart);
    const std::int64_t part = std::max<std::int64_t>(1, kPart / length);  // pieces
    const std::int64_t parts = chunk_count(pieces, part);
    const auto fold = [=, this](std::int64_t output, std::int64_t index) {
      A total = reducer_.zero;
      const T* start = x_ + plan_.kept.offset(output);
      const std::int64_t end = std::min(pieces, (index + 1) * part);
      for (std::int64_t piece = index * part; piece < end; ++piece) {
        const std::int64_t begin = piece % cuts * kPart;
        const T* row = start + plan_.reduced.offset(piece / cuts) + begin;
        total = reducer_.combine(total, reducer_.fold.row(row, std::min(kPart, plan_.row - begin)));
      }
      return total;
    };
    if (parts == 1) {
      const std::int64_t grain = std::max<std::int64_t>(1, kGrain / plan_.elements);
      parallel_for(plan_.outputs, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t output = begin; output < end; ++output) finish(output, fold(output, 0));
      });
      return;
    }
    std::vector<A> partial(static_cast<std::size_t>(plan_.outputs * parts));
    parallel_for(plan_.outputs * parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        partial[static_cast<std::size_t>(i)] = fold(i / parts, i % parts);
      }
    });
    for (std::int64_t output = 0; output < plan_.outputs; ++output) {
      A total = reducer_.zero;
      for (std::int64_t i = output * parts; i < (output + 1) * parts; ++i) {
        total = reducer_.combine(total, partial[static_cast<std::size_t>(i)]);
      }
      finish(output, total);
    }
  }

  /// Folds rows first..last-1 of the reduced axes, columns column..column+count-1 of the `outer`-th
  /// kept row, into `into`.
  void fold_columns(std::int64_t outer, std::int64_t first, std::int64_t last, std::int64_t column,
                    std::int64_t count, A* into) const {
    const Reduction::Groups& groups = plan_.reduced;
    std::fill(into, into + count, reducer_.zero);
    const std::size_t inner = groups.count - 1;
    const std::int64_t size = groups.count == 0 ? 1 : groups.sizes[inner];
    const std::int64_t stride = groups.count == 0 ? 0 : groups.steps[inner];
    const T* start = x_ + plan_.kept.offset(outer) + column;
    while (first < last) {
      const std::int64_t rows = std::min(size - first % size, last - first);
      fold_strided(start + groups.offset(first), stride, rows, count, into);
      first += rows;
    }
  }

  /// As the kernel; narrow rows that lie side by side are taken as wide ones.
  void fold_strided(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t count,
                    A* into) const {
    const std::int64_t together = kNarrow / count;
    if (stride == count && together > 1 && rows >= 2 * together) {
      std::array<A, kNarrow> wide;
      const std::int64_t width = together * count;
      std::fill(wide.begin(), wide.begin() + width, reducer_.zero);
      reducer_.fold.rows(x, width, rows / together, width, wide.data());
      for (std::int64_t i = 0; i < width; ++i) {
        into[i % count] = reducer_.combine(into[i % count], wide[static_cast<std::size_t>(i)]);
      }
      x += rows / together * width;
      rows %= together;
    }
    reducer_.fold.rows(x, stride, rows, count, into);
  }

  /// Tiles of columns, each cut into parts of rows.
  void reduce_columns() const {
    const std::int64_t outer = plan_.kept.total();
    const std::int64_t rows = plan_.reduced.total();
    const std::int64_t tiles = chunk_count(plan_.row, kTile);
    const std::int64_t part =
        std::max<std::int64_t>(1, kPart / std::min(plan_.row, kTile));  // rows
    const std::int64_t parts = chunk_count(rows, part);
    const auto count_of = [&](std::int64_t tile) {
      return std::min(kTile, plan_.row - tile * kTile);
    };
    const std::int64_t work = std::min(rows, part) * std::min(plan_.row, kTile);
    const std::int64_t grain = std::max<std::int64_t>(1, kGrain / work);
    if (parts == 1) {
      parallel_for(outer * tiles, grain, [&](std::int64_t begin, std::int64_t end) {
        std::array<A, kTile> into;
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t tile = i % tiles;
          const std::int64_t count = count_of(tile);
          fold_columns(i / tiles, 0, rows, tile * kTile, count, into.data());
          const std::int64_t output = i / tiles * plan_.row + tile * kTile;
          for (std::int64_t j = 0; j < count; ++j)
            finish(output + j, into[static_cast<std::size_t>(j)]);
        }
      });
      return;
    }
    // [outer, part, column]
    std::vector<A> partial(static_cast<std::size_t>(outer * parts * plan_.row));
    parallel_for(outer * parts * tiles, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t tile = i % tiles;
        const std::int64_t index = i / tiles % parts;
        A* into = partial.data() + i / tiles * plan_.row + tile * kTile;
        fold_columns(i / tiles / parts, index * part, std::min(rows, (index + 1) * part),
                     tile * kTile, count_of(tile), into);
      }
    });
    parallel_for(plan_.outputs, kTile, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t output = begin; output < end; ++output) {
        const A* at = partial.data() + output / plan_.row * parts * plan_.row + output % plan_.row;
        A total = reducer_.zero;
        for (std::int64_t i = 0; i < parts; ++i) total = reducer_.combine(total, at[i * plan_.row]);
        finish(output, total);
      }
    });
  }

  static constexpr std::int64_t kNarrow = 128;

  const Reducer<T, A, R>& reducer_;
  const Reduction& plan_;
  const T* x_;
  R* out_;
};

template <typename T, typename A, typename R>
Status reduce(Arguments& in, const Reduction& plan, const Reducer<T, A, R>& reducer) {
  const T* x = in.buffer<T>(0, plan.input_count);
  R* out = in.buffer<R>(1, plan.outputs);
  if (!in.ok()) return in.status();
  Task<T, A, R>(reducer, plan, x, out).run();
  return {};
}

double add(double a, double b) { return a + b; }
double multiply(double a, double b) { return a * b; }
Int add_int(Int a, Int b) {
  return static_cast<Int>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
/// NaN if either is.
template <typename A>
A greater(A a, A b) {
  return b > a || b != b ? b : a;
}
template <typename A>
A smaller(A a, A b) {
  return b < a || b != b ? b : a;
}
template <typename A>
A as_it_is(A total, double) {
  return total;
}
float rounded(double total, double) { return static_cast<float>(total); }
Int to_integer(double total, double) { return to_int32(total); }
float mean_of(double total, double elements) { return static_cast<float>(total / elements); }

Status refuse(Arguments& in, DType dtype) {
  in.fail("a dtype of this op", std::to_string(static_cast<int>(dtype)));
  return in.status();
}

// All ops — buffers: x, y. numbers: [dtype of x, rank, shape… (rank), reduced… (rank)]: 1 for an
// axis that is reduced, else 0; rank <= 8. Of no elements: sum and mean 0, product 1, others NaN,
// or 0 for int32 and bool, as in tfjs.

Status sum(const OpArguments& arguments) {
  Arguments in("Sum", arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  const ReduceKernels& kernels = DM_PICK(kReduce);
  if (dtype == DType::kFloat32) {
    return reduce(in, plan, Reducer<float, double, float>{kernels.sum, 0, add, rounded, 0});
  }
  if (dtype == DType::kInt32) {
    return reduce(in, plan, Reducer<Int, Int, Int>{kernels.sum_int, 0, add_int, as_it_is<Int>, 0});
  }
  return refuse(in, dtype);
}

Status mean(const OpArguments& arguments) {
  Arguments in("Mean", arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  if (dtype != DType::kFloat32) return refuse(in, dtype);
  const Reducer<float, double, float> reducer{DM_PICK(kReduce).sum, 0, add, mean_of, 0};
  return reduce(in, plan, reducer);
}

Status product(const OpArguments& arguments) {
  Arguments in("Prod", arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  const ReduceKernels& kernels = DM_PICK(kReduce);
  if (dtype == DType::kFloat32) {
    return reduce(in, plan,
                  Reducer<float, double, float>{kernels.product, 1, multiply, rounded, 1});
  }
  if (dtype == DType::kInt32) {
    return reduce(in, plan,
                  Reducer<Int, double, Int>{kernels.product_int, 1, multiply, to_integer, 1});
  }
  return refuse(in, dtype);
}

template <typename T>
Status extreme(Arguments& in, const Reduction& plan, const FoldKernels<T, T>& fold, bool most) {
  using Limits = std::numeric_limits<T>;
  constexpr bool kInfinite = Limits::has_infinity;
  const T top = kInfinite ? Limits::infinity() : Limits::max();
  const T bottom = kInfinite ? -Limits::infinity() : Limits::lowest();
  const T empty = kInfinite ? Limits::quiet_NaN() : T{0};
  return reduce(in, plan,
                Reducer<T, T, T>{fold, most ? bottom : top, most ? greater<T> : smaller<T>,
                                 as_it_is<T>, empty});
}

template <bool kMost>
Status max_or_min(const OpArguments& arguments) {
  Arguments in(kMost ? "Max" : "Min", arguments, 2, 2);
  const DType dtype = in.dtype(0);
  const Reduction plan = read_reduction(in, 1);
  if (!in.ok()) return in.status();
  const ReduceKernels& kernels = DM_PICK(kReduce);
  if (dtype == DType::kFloat32) {
    return extreme(in, plan, kMost ? kernels.max : kernels.min, kMost);
  }
  if (dtype == DType::kInt32) {
    return extreme(in, plan, kMost ? kernels.max_int : kernels.min_int, kMost);
  }
  return extreme(in, plan, kMost ? kernels.max_bool : kernels.min_bool, kMost);
}

}  // namespace

void register_reduce(OpTable& table) {
  table.add("Max", max_or_min<true>);
  table.add("Mean", mean);
  table.add("Min", max_or_min<false>);
  table.add("Prod", product);
  table.add("Sum", sum);
}

}  // namespace dm::cpu
