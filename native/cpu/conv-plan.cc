// SPDX-License-Identifier: Apache-2.0
// Patches out of x, and back into its gradient. Every element of the gradient is written by one
// thread, in the order of the taps.
#include "cpu/conv-plan.h"

#include <algorithm>
#include <string>

#include "core/thread-pool.h"
#include "cpu/simd/matmul.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

struct Range {
  std::int64_t begin, end;
};

/// The taps of a window without dilation that read x and not padding.
Range taps_inside(const ConvSide& side, std::int64_t window) {
  const std::int64_t corner = side.place(window, 0);
  const std::int64_t begin = std::clamp<std::int64_t>(-corner, 0, side.taps);
  return {begin, std::clamp<std::int64_t>(side.size - corner, begin, side.taps)};
}

/// The taps along one line of x, which is null for padding: [taps of W, C].
void gather_line(const ConvPlan& plan, const float* line, std::int64_t window, float* out) {
  const ConvSide& side = plan.columns;
  const std::int64_t channels = plan.in_channels;
  if (line == nullptr) {
    std::fill_n(out, side.taps * channels, 0.0f);
    return;
  }
  if (side.dilation == 1) {
    const auto [begin, end] = taps_inside(side, window);
    std::fill_n(out, begin * channels, 0.0f);
    if (end > begin) {
      std::copy_n(line + side.place(window, begin) * channels, (end - begin) * channels,
                  out + begin * channels);
    }
    std::fill_n(out + end * channels, (side.taps - end) * channels, 0.0f);
    return;
  }
  for (std::int64_t tap = 0; tap < side.taps; ++tap, out += channels) {
    const std::int64_t place = side.place(window, tap);
    if (side.holds(place)) {
      std::copy_n(line + place * channels, channels, out);
    } else {
      std::fill_n(out, channels, 0.0f);
    }
  }
}

/// The taps of all windows of a line of y that read this line of x.
void scatter_line(const ConvPlan& plan, const float* patches, float* line) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  const ConvSide& side = plan.columns;
  const std::int64_t channels = plan.in_channels;
  const std::int64_t step = plan.patch();
  for (std::int64_t window = 0; window < side.windows; ++window, patches += step) {
    if (side.dilation == 1) {
      const auto [begin, end] = taps_inside(side, window);
      if (end > begin) {
        kernels.add(patches + begin * channels, line + side.place(window, begin) * channels,
                    (end - begin) * channels);
      }
      continue;
    }
    for (std::int64_t tap = 0; tap < side.taps; ++tap) {
      const std::int64_t place = side.place(window, tap);
      if (side.holds(place))
        kernels.add(patches + tap * channels, line + place * channels, channels);
    }
  }
}

}  // namespace

ConvPlan read_conv_plan(Arguments& in, std::size_t first) {
  const auto side = [&in](std::size_t i) {
    const ConvSide result{in.count(i),     in.count(i + 1), in.count(i + 2),
                          in.count(i + 3), in.count(i + 4), in.integer(i + 5)};
    for (const std::int64_t value : {result.size, result.windows, result.stride, result.taps,
                                     result.dilation, result.before, -result.before}) {
      if (value > INT32_MAX) in.fail("sides of less than 2^31 elements", std::to_string(value));
    }
    for (const std::int64_t value : {result.stride, result.dilation}) {
      if (value < 1) in.fail("a stride and a dilation of at least 1", std::to_string(value));
    }
    return result;
  };
  ConvPlan plan{in.count(first),
                in.count(first + 1),
                in.count(first + 2),
                side(first + 3),
                side(first + 9),
                side(first + 15),
                0,
                0};
  const auto& [batch, from, to, frames, rows, columns, x_count, y_count] = plan;
  plan.x_count = in.elements({batch, frames.size, rows.size, columns.size, from});
  plan.y_count = in.elements({batch, frames.windows, rows.windows, columns.windows, to});
  in.elements({frames.taps, rows.taps, columns.taps, from, to});
  return plan;
}

void gather_patches(const ConvPlan& plan, const float* x, std::int64_t first, std::int64_t count,
                    float* patches) {
  const std::int64_t patch = plan.patch();
  const std::int64_t line = plan.columns.size * plan.in_channels;
  const std::int64_t piece = plan.columns.taps * plan.in_channels;
  parallel_for(count, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, patch)),
               [=, &plan](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t window = (first + i) % plan.columns.windows;
                   const auto [clip, frame, row] =
                       out_line(plan, (first + i) / plan.columns.windows);
                   float* out = patches + i * patch;
                   for (std::int64_t t = 0; t < plan.frames.taps; ++t) {
                     const std::int64_t z = plan.frames.place(frame, t);
                     for (std::int64_t r = 0; r < plan.rows.taps; ++r, out += piece) {
                       const std::int64_t y = plan.rows.place(row, r);
                       const bool inside = plan.frames.holds(z) && plan.rows.holds(y);
                       const std::int64_t at = (clip * plan.frames.size + z) * plan.rows.size + y;
                       gather_line(plan, inside ? x + at * line : nullptr, window, out);
                     }
                   }
                 }
               });
}

void scatter_patches(const ConvPlan& plan, const float* patches, std::int64_t first,
                     std::int64_t lines, float* dx) {
  if (lines == 0) return;
  const std::int64_t of_clip = plan.frames.size * plan.rows.size;
  const std::int64_t from = out_line(plan, first).clip * of_clip;
  const std::int64_t to = (out_line(plan, first + lines - 1).clip + 1) * of_clip;
  const std::int64_t line = plan.columns.size * plan.in_channels;
  const std::int64_t piece = plan.columns.taps * plan.in_channels;
  const std::int64_t grain =
      std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, line * plan.taps()));
  parallel_for(to - from, grain, [=, &plan](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = from + begin; i < from + end; ++i) {
      const auto [clip, frame, row] = in_line(plan, i);
      for (std::int64_t t = 0; t < plan.frames.taps; ++t) {
        const std::int64_t z = plan.frames.window_at(frame, t);
        for (std::int64_t r = 0; r < plan.rows.taps && z >= 0; ++r) {
          const std::int64_t y = plan.rows.window_at(row, r);
          const std::int64_t at = (clip * plan.frames.windows + z) * plan.rows.windows + y - first;
          if (y < 0 || at < 0 || at >= lines) continue;
          const float* taps =
              patches + at * plan.columns.windows * plan.patch() + (t * plan.rows.taps + r) * piece;
          scatter_line(plan, taps, dx + i * line);
        }
      }
    }
  });
}

}  // namespace dm::cpu
