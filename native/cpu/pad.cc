// SPDX-License-Identifier: Apache-2.0
// A tensor with a margin: of one value (PadV2), or of its own values mirrored (MirrorPad).
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/arguments.h"
#include "core/broadcast.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

struct Axis {
  std::int64_t size, before, after;

  std::int64_t padded() const { return before + size + after; }
};

struct Plan {
  std::size_t rank = 0;
  std::array<Axis, kMaxRank> axes{};
  std::int64_t count = 1, padded_count = 1;

  const Axis& inner() const { return axes[rank - 1]; }
};

/// Reads `[rank, shape…, before…, after…]` from number `first` on; a scalar becomes a row of one.
Plan read_plan(Arguments& in, std::size_t first) {
  Plan plan;
  plan.rank = static_cast<std::size_t>(in.count(first));
  if (plan.rank > kMaxRank) in.fail("a rank of at most 8", std::to_string(plan.rank));
  for (std::size_t i = 0; i < plan.rank && in.ok(); ++i) {
    Axis& axis = plan.axes[i];
    axis = {in.count(first + 1 + i), in.count(first + 1 + plan.rank + i),
            in.count(first + 1 + 2 * plan.rank + i)};
    plan.count = in.elements({plan.count, axis.size});
    plan.padded_count = in.elements({plan.padded_count, axis.padded()});
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.axes[0] = {1, 0, 0};
  }
  return plan;
}

/// Calls `row(index of the input's row, output row)` for each row of the output; the index is -1 where `source(axis, place)` is for
/// some axis.
template <typename Source, typename Row>
void for_each_row(const Plan& plan, const Source& source, const Row& row) {
  const std::int64_t length = plan.inner().padded();
  const std::int64_t rows = plan.padded_count / length;
  parallel_for(rows, std::max<std::int64_t>(1, kGrain / length),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t at = begin; at < end; ++at) {
                   std::int64_t rest = at;
                   std::int64_t from = 0;
                   std::int64_t step = 1;
                   for (std::size_t i = plan.rank - 1; i-- > 0;) {
                     const Axis& axis = plan.axes[i];
                     const std::int64_t place = source(axis, rest % axis.padded());
                     rest /= axis.padded();
                     from = place < 0 || from < 0 ? -1 : from + place * step;
                     step *= axis.size;
                   }
                   row(from, at);
                 }
               });
}

template <typename T>
Status pad_value(Arguments& in, const Plan& plan, T value) {
  const T* x = in.buffer<T>(0, plan.count);
  T* y = in.buffer<T>(1, plan.padded_count);
  if (!in.ok()) return in.status();
  if (plan.padded_count == 0) return {};
  const Axis inner = plan.inner();
  const auto source = [](const Axis& axis, std::int64_t place) {
    return place < axis.before || place >= axis.before + axis.size ? -1 : place - axis.before;
  };
  for_each_row(plan, source, [=](std::int64_t from, std::int64_t at) {
    T* out = y + at * inner.padded();
    if (from < 0) {
      std::fill_n(out, inner.padded(), value);
      return;
    }
    std::fill_n(out, inner.before, value);
    std::copy_n(x + from * inner.size, inner.size, out + inner.before);
    std::fill_n(out + inner.before + inner.size, inner.after, value);
  });
  return {};
}

// buffers: x, y. numbers: [dtype, value, rank, shape…, before…, after…]; an int32 or bool value must be in the range of its type.
Status pad(const OpArguments& arguments) {
  Arguments in("PadV2", arguments, 2, 3);
  const DType dtype = in.dtype(0);
  const Plan plan = read_plan(in, 2);
  const double value = in.number(1);
  if (dtype == DType::kFloat32) return pad_value<float>(in, plan, static_cast<float>(value));
  const std::int64_t whole = in.integer(1);
  const std::int64_t least = dtype == DType::kInt32 ? INT32_MIN : 0;
  const std::int64_t most = dtype == DType::kInt32 ? INT32_MAX : 255;
  if (whole < least || whole > most) in.fail("a value of the dtype", std::to_string(whole));
  if (!in.ok()) return in.status();
  if (dtype == DType::kInt32) return pad_value(in, plan, static_cast<std::int32_t>(whole));
  return pad_value(in, plan, static_cast<std::uint8_t>(whole));
}

template <typename T>
Status mirror(Arguments& in, const Plan& plan, std::int64_t repeats) {
  const T* x = in.buffer<T>(0, plan.count);
  T* y = in.buffer<T>(1, plan.padded_count);
  for (std::size_t i = 0; i < plan.rank; ++i) {
    const auto& [size, before, after] = plan.axes[i];
    if (std::max(before, after) > std::max<std::int64_t>(0, size - 1 + repeats)) {
      in.fail("a margin of at most " + std::to_string(size - 1 + repeats),
              std::to_string(std::max(before, after)));
    }
  }
  if (!in.ok()) return in.status();
  if (plan.padded_count == 0) return {};
  const Axis inner = plan.inner();
  const auto source = [=](const Axis& axis, std::int64_t place) {
    const std::int64_t at = place - axis.before;
    if (at < 0) return -at - repeats;
    return at < axis.size ? at : 2 * (axis.size - 1) - at + repeats;
  };
  for_each_row(plan, source, [=](std::int64_t from, std::int64_t at) {
    T* out = y + at * inner.padded();
    const T* row = x + from * inner.size;
    for (std::int64_t i = 0; i < inner.before; ++i) out[i] = row[source(inner, i)];
    std::copy_n(row, inner.size, out + inner.before);
    for (std::int64_t i = inner.before + inner.size; i < inner.padded(); ++i) {
      out[i] = row[source(inner, i)];
    }
  });
  return {};
}

// buffers: x, y. numbers: [elementBytes, repeats, rank, shape…, before…, after…]; repeats is 1 when the outermost values are mirrored
// too (symmetric), 0 when not (reflect).
Status mirror_pad(const OpArguments& arguments) {
  Arguments in("MirrorPad", arguments, 2, 3);
  const std::int64_t size = in.count(0);
  const std::int64_t repeats = in.flag(1) ? 1 : 0;
  const Plan plan = read_plan(in, 2);
  if (!in.ok()) return in.status();
  if (size == 4) return mirror<std::uint32_t>(in, plan, repeats);
  if (size == 1) return mirror<std::uint8_t>(in, plan, repeats);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_pad(OpTable& table) {
  table.add("MirrorPad", mirror_pad);
  table.add("PadV2", pad);
}

}  // namespace dm::cpu
