// SPDX-License-Identifier: Apache-2.0
// Images at another size, and the gradient.
//
// B images, C channels; `from` and `to` are sizes of an axis before and after.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;  // elements a chunk

/// An element of the result: low * (1 - weight) + high * weight.
struct Mix {
  std::int64_t low, high;
  float weight;
};

/// As tfjs has it: an axis of one element is never aligned by its corners.
std::vector<Mix> mixes(std::int64_t from, std::int64_t to, bool align_corners, bool half_pixels) {
  const bool align = align_corners && to > 1;
  const double ratio =
      static_cast<double>(align ? from - 1 : from) / static_cast<double>(align ? to - 1 : to);
  std::vector<Mix> result(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    const double place =
        half_pixels ? ratio * (static_cast<double>(i) + 0.5) - 0.5 : ratio * static_cast<double>(i);
    const auto low = std::clamp(static_cast<std::int64_t>(std::floor(place)), std::int64_t{0},
                                from - 1);
    const auto high = std::clamp(static_cast<std::int64_t>(std::ceil(place)), std::int64_t{0},
                                 from - 1);
    result[static_cast<std::size_t>(i)] = {low, high,
                                           static_cast<float>(place - static_cast<double>(low))};
  }
  return result;
}

struct Plan {
  std::int64_t batch, rows, columns, channels, new_rows, new_columns;
  std::vector<Mix> row_mixes, column_mixes;
};

/// Reads `[B, rows, columns, C, new rows, new columns, alignCorners, halfPixelCenters]`.
Plan read_plan(Arguments& in) {
  Plan plan{in.count(0), in.count(1), in.count(2), in.count(3), in.count(4), in.count(5), {}, {}};
  in.product(0, 4);
  if (in.ok() && in.elements({plan.batch, plan.new_rows, plan.new_columns, plan.channels}) != 0 &&
      in.product(0, 4) == 0) {
    in.fail("images of some pixels", "none");
  }
  if (!in.ok() || in.product(0, 4) == 0) return plan;
  plan.row_mixes = mixes(plan.rows, plan.new_rows, in.flag(6), in.flag(7));
  plan.column_mixes = mixes(plan.columns, plan.new_columns, in.flag(6), in.flag(7));
  return plan;
}

void resize_row(const Plan& plan, const float* top, const float* bottom, float weight, float* y) {
  for (const Mix& mix : plan.column_mixes) {
    const std::int64_t left = mix.low * plan.channels;
    const std::int64_t right = mix.high * plan.channels;
    for (std::int64_t k = 0; k < plan.channels; ++k) {
      const float above = top[left + k] + (top[right + k] - top[left + k]) * mix.weight;
      const float below = bottom[left + k] + (bottom[right + k] - bottom[left + k]) * mix.weight;
      *y++ = above + (below - above) * weight;
    }
  }
}

// buffers: images [B, rows, columns, C], y [B, newRows, newColumns, C].
// numbers: [B, rows, columns, C, newRows, newColumns, alignCorners, halfPixelCenters].
Status resize(const OpArguments& arguments) {
  Arguments in("ResizeBilinear", arguments, 2, 8);
  const Plan plan = read_plan(in);
  const float* x = in.buffer<float>(0, in.product(0, 4));
  const std::int64_t count =
      in.elements({plan.batch, plan.new_rows, plan.new_columns, plan.channels});
  float* y = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  if (count == 0) return {};
  const std::int64_t line = plan.columns * plan.channels;
  const std::int64_t new_line = plan.new_columns * plan.channels;
  parallel_for(plan.batch * plan.new_rows, std::max<std::int64_t>(1, kGrain / new_line),
               [=, &plan](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const float* image = x + i / plan.new_rows * plan.rows * line;
                   const Mix& mix = plan.row_mixes[static_cast<std::size_t>(i % plan.new_rows)];
                   resize_row(plan, image + mix.low * line, image + mix.high * line, mix.weight,
                              y + i * new_line);
                 }
               });
  return {};
}

/// For each element before, which elements after it goes into, and by what factors.
using Uses = std::vector<std::vector<std::pair<std::int64_t, float>>>;

Uses uses_of(const std::vector<Mix>& mixes, std::int64_t from) {
  Uses uses(static_cast<std::size_t>(from));
  for (std::size_t i = 0; i < mixes.size(); ++i) {
    const auto [low, high, weight] = mixes[i];
    const auto at = static_cast<std::int64_t>(i);
    if (low == high) {
      uses[static_cast<std::size_t>(low)].emplace_back(at, 1.0f);
    } else {
      uses[static_cast<std::size_t>(low)].emplace_back(at, 1.0f - weight);
      uses[static_cast<std::size_t>(high)].emplace_back(at, weight);
    }
  }
  return uses;
}

// buffers: dy [B, newRows, newColumns, C], dx [B, rows, columns, C]. numbers: as ResizeBilinear.
Status resize_grad(const OpArguments& arguments) {
  Arguments in("ResizeBilinearGrad", arguments, 2, 8);
  const Plan plan = read_plan(in);
  const float* dy = in.buffer<float>(
      0, in.elements({plan.batch, plan.new_rows, plan.new_columns, plan.channels}));
  const std::int64_t count = in.product(0, 4);
  float* dx = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  if (count == 0) return {};
  const Uses row_uses = uses_of(plan.row_mixes, plan.rows);
  const Uses column_uses = uses_of(plan.column_mixes, plan.columns);
  const std::int64_t line = plan.columns * plan.channels;
  const std::int64_t new_line = plan.new_columns * plan.channels;
  parallel_for(plan.batch * plan.rows, std::max<std::int64_t>(1, kGrain / line),
               [=, &plan, &row_uses, &column_uses](std::int64_t begin, std::int64_t end) {
                 std::fill(dx + begin * line, dx + end * line, 0.0f);
                 for (std::int64_t i = begin; i < end; ++i) {
                   const float* image = dy + i / plan.rows * plan.new_rows * new_line;
                   for (const auto& [row, down] : row_uses[static_cast<std::size_t>(i % plan.rows)]) {
                     for (std::int64_t c = 0; c < plan.columns; ++c) {
                       float* to = dx + i * line + c * plan.channels;
                       for (const auto& [column, across] :
                            column_uses[static_cast<std::size_t>(c)]) {
                         const float* from = image + row * new_line + column * plan.channels;
                         const float factor = down * across;
                         for (std::int64_t k = 0; k < plan.channels; ++k) to[k] += factor * from[k];
                       }
                     }
                   }
                 }
               });
  return {};
}

}  // namespace

void register_resize_bilinear(OpTable& table) {
  table.add("ResizeBilinear", resize);
  table.add("ResizeBilinearGrad", resize_grad);
}

}  // namespace dm::cpu
