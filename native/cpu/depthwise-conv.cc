// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions and their gradients: channel c of x makes the M channels c * M … of y with filters of their own. x is repeated
// M times first, so that every channel has one filter. Names as in conv-plan.h, with N = C * M channels of y.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/conv-plan.h"
#include "cpu/families.h"
#include "cpu/scratch.h"
#include "cpu/simd/depthwise-conv.h"
#include "cpu/tasks.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // products a chunk
constexpr std::int64_t kMostParts = 32;
constexpr std::int64_t kRun = 512;  // channels of windows beside each other that are computed at once

ConvPlan read_plan(Arguments& in) {
  const ConvPlan plan = read_conv_plan(in, 0);
  const std::int64_t to = plan.out_channels;
  const std::int64_t from = plan.in_channels;
  if (from == 0 ? to != 0 : to % from != 0) {
    in.fail("a multiple of " + std::to_string(from) + " channels", std::to_string(to));
  }
  in.elements({plan.batch, plan.frames.size, plan.rows.size, plan.columns.size, to});
  return plan;
}

std::int64_t multiplier(const ConvPlan& plan) {
  return plan.in_channels == 0 ? 1 : plan.out_channels / plan.in_channels;
}

/// x with each channel `times` times; x itself for 1.
class Repeated {
 public:
  Repeated(const float* x, std::int64_t count, std::int64_t times) : data_(x) {
    if (times == 1) return;
    float* y = copy_.emplace(count * times).data();
    parallel_for(count, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, times)),
                 [=](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) std::fill_n(y + i * times, times, x[i]);
                 });
    data_ = y;
  }
  const float* data() const { return data_; }

 private:
  const float* data_;
  std::optional<Scratch<float>> copy_;
};

/// Pairs of rows, to be multiplied and added up.
class Taps {
 public:
  Taps(const ConvPlan& plan, std::byte* memory)
      : x_(reinterpret_cast<const float**>(memory)), w_(x_ + plan.taps()) {}
  static std::size_t bytes(const ConvPlan& plan) {
    return 2 * static_cast<std::size_t>(plan.taps()) * sizeof(const float*);
  }
  void clear() { count_ = 0; }
  void add(const float* x, const float* w) {
    x_[count_] = x;
    w_[count_++] = w;
  }
  void weigh(float* y, std::int64_t count) const {
    DM_PICK(kDepthwiseConv).weigh(x_, w_, count_, y, count);
  }

 private:
  const float** x_;
  const float** w_;
  std::int64_t count_ = 0;
};

/// Calls tap(index of the tap, index of x's element / C) for the taps of a window that read x.
template <typename Tap>
void for_each_tap(const ConvPlan& plan, const ConvLine& line, std::int64_t window, const Tap& tap) {
  for (std::int64_t t = 0, index = 0; t < plan.frames.taps; ++t) {
    const std::int64_t z = plan.frames.place(line.frame, t);
    for (std::int64_t r = 0; r < plan.rows.taps; ++r, index += plan.columns.taps) {
      const std::int64_t y = plan.rows.place(line.row, r);
      if (!plan.frames.holds(z) || !plan.rows.holds(y)) continue;
      const std::int64_t at = (line.clip * plan.frames.size + z) * plan.rows.size + y;
      for (std::int64_t c = 0; c < plan.columns.taps; ++c) {
        const std::int64_t x = plan.columns.place(window, c);
        if (plan.columns.holds(x)) tap(index + c, at * plan.columns.size + x);
      }
    }
  }
}

/// Calls tap(index of the tap, index of y's element / N) for the windows that read a place of x.
template <typename Tap>
void for_each_window(const ConvPlan& plan, const ConvLine& line, std::int64_t place,
                     const Tap& tap) {
  for (std::int64_t t = 0, index = 0; t < plan.frames.taps; ++t) {
    const std::int64_t z = plan.frames.window_at(line.frame, t);
    for (std::int64_t r = 0; r < plan.rows.taps; ++r, index += plan.columns.taps) {
      const std::int64_t y = plan.rows.window_at(line.row, r);
      if (z < 0 || y < 0) continue;
      const std::int64_t at = (line.clip * plan.frames.windows + z) * plan.rows.windows + y;
      for (std::int64_t c = 0; c < plan.columns.taps; ++c) {
        const std::int64_t x = plan.columns.window_at(place, c);
        if (x >= 0) tap(index + c, at * plan.columns.windows + x);
      }
    }
  }
}

/// Where all taps along a line are inside and neighbours read neighbours, so that places beside each other are one long row.
struct Runs {
  std::int64_t begin = 0, end = 0;
  std::int64_t most = 1;  ///< places at once

  static Runs of_windows(const ConvPlan& plan) {
    const ConvSide& side = plan.columns;
    const std::int64_t reach = (side.taps - 1) * side.dilation;
    return {plan, side.before, std::min(side.windows, side.size + side.before - reach)};
  }
  static Runs of_places(const ConvPlan& plan) {
    const ConvSide& side = plan.columns;
    const std::int64_t reach = (side.taps - 1) * side.dilation;
    return {plan, reach - side.before, std::min(side.size, side.windows - side.before)};
  }

  std::int64_t length(std::int64_t place) const {
    return place >= begin && place < end ? std::min(most, end - place) : 1;
  }

 private:
  Runs(const ConvPlan& plan, std::int64_t first, std::int64_t last) {
    if (plan.columns.stride != 1) return;
    begin = first;
    end = last;
    most = std::max<std::int64_t>(1, kRun / std::max<std::int64_t>(1, plan.out_channels));
  }
};

/// The filter [taps, N] as [taps, times * N], each row `times` times.
class SpreadFilter {
 public:
  SpreadFilter(const ConvPlan& plan, const float* filter, std::int64_t times)
      : row_(times * plan.out_channels), values_(plan.taps() * row_) {
    const std::int64_t n = plan.out_channels;
    for (std::int64_t i = 0; i < plan.taps() * times; ++i) {
      std::copy_n(filter + i / times * n, n, values_.data() + i * n);
    }
  }
  const float* tap(std::int64_t index) const { return values_.data() + index * row_; }

 private:
  std::int64_t row_;
  Scratch<float> values_;
};

/// Lines of so many places that make a task.
std::int64_t lines_of_task(const ConvPlan& plan, std::int64_t places) {
  const std::int64_t products = places * plan.taps() * plan.out_channels;
  return std::max<std::int64_t>(1, 4 * kGrain / std::max<std::int64_t>(1, products));
}

// buffers: x [B, D, H, W, C], filter [taps of D, of H, of W, C, M], y [B, d, h, w, N]. numbers: [B, C, N, then for frames, rows, columns:
// size, windows, stride, taps, dilation, padding before].
Status conv(const OpArguments& arguments) {
  Arguments in("DmDepthwiseConv", arguments, 3, kConvNumbers);
  const ConvPlan plan = read_plan(in);
  const std::int64_t n = plan.out_channels;
  const float* x = in.buffer<const float>(0, plan.x_count);
  const float* filter = in.buffer<const float>(1, plan.taps() * n);
  float* y = in.buffer<float>(2, plan.y_count);
  if (!in.ok()) return in.status();
  const Repeated repeated(x, plan.x_count, multiplier(plan));
  const Runs runs = Runs::of_windows(plan);
  const SpreadFilter spread(plan, filter, runs.most);
  const std::int64_t lines = lines_of_task(plan, plan.columns.windows);
  run_tasks(chunk_count(plan.out_lines(), lines), 1, [&](std::int64_t task, ThreadScratch& memory) {
    Taps taps(plan, memory.bytes(Taps::bytes(plan)));
    const std::int64_t end = std::min(plan.out_lines(), (task + 1) * lines);
    for (std::int64_t i = task * lines; i < end; ++i) {
      for (std::int64_t q = 0, length; q < plan.columns.windows; q += length) {
        length = runs.length(q);
        taps.clear();
        for_each_tap(plan, out_line(plan, i), q, [&](std::int64_t tap, std::int64_t at) {
          taps.add(repeated.data() + at * n, spread.tap(tap));
        });
        taps.weigh(y + (i * plan.columns.windows + q) * n, length * n);
      }
    }
  });
  return {};
}

/// out[i] = the sum of the `times` values of x from i * times on.
void sum_groups(const float* x, std::int64_t times, float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = 0;
    for (std::int64_t m = 0; m < times; ++m) out[i] += x[i * times + m];
  }
}

// buffers: dy [B, d, h, w, N], filter, dx [B, D, H, W, C]. numbers: as DmDepthwiseConv.
Status conv_input_grad(const OpArguments& arguments) {
  Arguments in("DmDepthwiseConvInputGrad", arguments, 3, kConvNumbers);
  const ConvPlan plan = read_plan(in);
  const std::int64_t n = plan.out_channels;
  const float* dy = in.buffer<const float>(0, plan.y_count);
  const float* filter = in.buffer<const float>(1, plan.taps() * n);
  float* dx = in.buffer<float>(2, plan.x_count);
  if (!in.ok()) return in.status();
  const std::int64_t times = multiplier(plan);
  const Runs runs = Runs::of_places(plan);
  const SpreadFilter spread(plan, filter, runs.most);
  const std::int64_t lines = lines_of_task(plan, plan.columns.size);
  run_tasks(chunk_count(plan.in_lines(), lines), 1, [&](std::int64_t task, ThreadScratch& memory) {
    const std::size_t before = (Taps::bytes(plan) + kAlignment - 1) / kAlignment * kAlignment;
    const std::int64_t longest = runs.most * n;
    std::byte* scratch = memory.bytes(before + static_cast<std::size_t>(longest) * sizeof(float));
    Taps taps(plan, scratch);
    auto* row = reinterpret_cast<float*>(scratch + before);
    const std::int64_t end = std::min(plan.in_lines(), (task + 1) * lines);
    for (std::int64_t i = task * lines; i < end; ++i) {
      for (std::int64_t place = 0, length; place < plan.columns.size; place += length) {
        length = runs.length(place);
        taps.clear();
        for_each_window(plan, in_line(plan, i), place, [&](std::int64_t tap, std::int64_t at) {
          taps.add(dy + at * n, spread.tap(tap));
        });
        float* out = dx + (i * plan.columns.size + place) * plan.in_channels;
        taps.weigh(times == 1 ? out : row, length * n);
        if (times != 1) sum_groups(row, times, out, length * plan.in_channels);
      }
    }
  });
  return {};
}

// buffers: x [B, D, H, W, C], dy [B, d, h, w, N], dfilter. numbers: as DmDepthwiseConv. Summed up in parts, and these in order.
Status conv_filter_grad(const OpArguments& arguments) {
  Arguments in("DmDepthwiseConvFilterGrad", arguments, 3, kConvNumbers);
  const ConvPlan plan = read_plan(in);
  const std::int64_t n = plan.out_channels;
  const std::int64_t size = plan.taps() * n;
  const float* x = in.buffer<const float>(0, plan.x_count);
  const float* dy = in.buffer<const float>(1, plan.y_count);
  float* dw = in.buffer<float>(2, size);
  if (!in.ok()) return in.status();
  const Repeated repeated(x, plan.x_count, multiplier(plan));
  const std::int64_t lines = std::max(lines_of_task(plan, plan.columns.windows),
                                      chunk_count(plan.out_lines(), kMostParts));
  const std::int64_t parts = chunk_count(plan.out_lines(), lines);
  const Runs runs = Runs::of_windows(plan);
  const std::int64_t row = runs.most * n;  // of each tap, for windows beside each other
  const Scratch<float> sums(parts * plan.taps() * row);
  parallel_for(parts, 1, [&](std::int64_t part, std::int64_t) {
    float* sum = sums.data() + part * plan.taps() * row;
    std::fill_n(sum, plan.taps() * row, 0.0f);
    const std::int64_t end = std::min(plan.out_lines(), (part + 1) * lines);
    for (std::int64_t i = part * lines; i < end; ++i) {
      for (std::int64_t q = 0, length; q < plan.columns.windows; q += length) {
        length = runs.length(q);
        const float* slope = dy + (i * plan.columns.windows + q) * n;
        for_each_tap(plan, out_line(plan, i), q, [&](std::int64_t tap, std::int64_t at) {
          const float* values = repeated.data() + at * n;
          DM_PICK(kDepthwiseConv).multiply_add(values, slope, sum + tap * row, length * n);
        });
      }
    }
  });
  parallel_for(size, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      dw[i] = 0;
      for (std::int64_t part = 0; part < parts; ++part) {
        const float* sum = sums.data() + (part * plan.taps() + i / n) * row + i % n;
        for (std::int64_t place = 0; place < runs.most; ++place) dw[i] += sum[place * n];
      }
    }
  });
  return {};
}

}  // namespace

void register_depthwise_conv(OpTable& table) {
  table.add("DmDepthwiseConv", conv);
  table.add("DmDepthwiseConvFilterGrad", conv_filter_grad);
  table.add("DmDepthwiseConvInputGrad", conv_input_grad);
}

}  // namespace dm::cpu
