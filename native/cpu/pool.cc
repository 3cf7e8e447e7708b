// SPDX-License-Identifier: Apache-2.0
// Largest values and means of windows of images, and their gradients.
//
// B images of H rows, W columns, C channels; R rows and Q columns of windows; a window is cut at the borders of the image.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;   // elements a chunk
constexpr std::int64_t kChannels = 16;  // channels that one thread adds up

struct Range {
  std::int64_t begin, end;
};

/// Along rows or columns.
struct Side {
  std::int64_t size, windows, stride, window, before;

  Range covered(std::int64_t index) const {
    const std::int64_t corner = index * stride - before;
    const std::int64_t begin = std::max<std::int64_t>(0, corner);
    return {begin, std::max(begin, std::min(size, corner + window))};
  }
};

struct Plan {
  std::int64_t batch, channels;
  Side rows, columns;
  std::int64_t x_count, y_count;

  const float* at(const float* x, std::int64_t image, std::int64_t r, std::int64_t c) const {
    return x + ((image * rows.size + r) * columns.size + c) * channels;
  }
  std::int64_t place(std::int64_t r, std::int64_t c) const {
    return (r * columns.size + c) * channels;
  }
};

/// Reads `[B, C, then size, windows, stride, window, padding before for rows, and the same for columns]`.
Plan read_plan(Arguments& in) {
  const auto side = [&in](std::size_t i) {
    const Side result{in.count(i), in.count(i + 1), in.count(i + 2), in.count(i + 3),
                      in.count(i + 4)};
    for (const std::int64_t value : {result.windows, result.stride, result.window, result.before}) {
      if (value > INT32_MAX) in.fail("windows of less than 2^31 elements", std::to_string(value));
    }
    return result;
  };
  Plan plan{in.count(0), in.count(1), side(2), side(7), 0, 0};
  plan.x_count = in.elements({plan.batch, plan.rows.size, plan.columns.size, plan.channels});
  plan.y_count = in.elements({plan.batch, plan.rows.windows, plan.columns.windows, plan.channels});
  return plan;
}

/// Calls put(window rows, window columns, image, y) for each window.
template <typename Put>
void for_each_window(const Plan& plan, float* y, const Put& put) {
  const std::int64_t lines = plan.batch * plan.rows.windows;
  const std::int64_t line = plan.columns.windows * plan.channels;
  if (lines * line == 0) return;
  parallel_for(lines, std::max<std::int64_t>(1, kGrain / line),
               [&, y](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const Range rows = plan.rows.covered(i % plan.rows.windows);
                   for (std::int64_t q = 0; q < plan.columns.windows; ++q) {
                     put(rows, plan.columns.covered(q), i / plan.rows.windows,
                         y + i * line + q * plan.channels);
                   }
                 }
               });
}

// buffers: x [B, H, W, C], y [B, R, Q, C]. numbers: [B, C, H, R, strideRows, windowRows, before, W, Q, strideColumns, windowColumns,
// before]. NaN is never the largest; -infinity where nothing is.
Status max_pool(const OpArguments& arguments) {
  Arguments in("MaxPool", arguments, 2, 12);
  const Plan plan = read_plan(in);
  const float* x = in.buffer<float>(0, plan.x_count);
  float* y = in.buffer<float>(1, plan.y_count);
  if (!in.ok()) return in.status();
  for_each_window(plan, y, [&, x](Range rows, Range columns, std::int64_t image, float* out) {
    std::fill_n(out, plan.channels, -std::numeric_limits<float>::infinity());
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t c = columns.begin; c < columns.end; ++c) {
        const float* from = plan.at(x, image, r, c);
        for (std::int64_t k = 0; k < plan.channels; ++k) out[k] = from[k] > out[k] ? from[k] : out[k];
      }
    }
  });
  return {};
}

/// Infinity for a window that lies in the padding alone, so that its mean is NaN.
float share(Range rows, Range columns) {
  return 1.0f / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
}

// buffers, numbers: as MaxPool. Padding does not count.
Status avg_pool(const OpArguments& arguments) {
  Arguments in("AvgPool", arguments, 2, 12);
  const Plan plan = read_plan(in);
  const float* x = in.buffer<float>(0, plan.x_count);
  float* y = in.buffer<float>(1, plan.y_count);
  if (!in.ok()) return in.status();
  for_each_window(plan, y, [&, x](Range rows, Range columns, std::int64_t image, float* out) {
    std::fill_n(out, plan.channels, 0.0f);
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t c = columns.begin; c < columns.end; ++c) {
        const float* from = plan.at(x, image, r, c);
        for (std::int64_t k = 0; k < plan.channels; ++k) out[k] += from[k];
      }
    }
    const float factor = share(rows, columns);
    for (std::int64_t k = 0; k < plan.channels; ++k) out[k] *= factor;
  });
  return {};
}

/// Sets dx to 0, then calls put(window rows, window columns, dx of the image, window in y, channels) for each window of each image and
/// block of channels, window after window, since windows overlap.
template <typename Put>
void for_each_block(const Plan& plan, float* dx, const Put& put) {
  const std::int64_t image = plan.rows.size * plan.columns.size * plan.channels;
  const std::int64_t blocks = chunk_count(plan.channels, kChannels);
  parallel_for(plan.batch * blocks, 1, [&, dx](std::int64_t at, std::int64_t) {
    const std::int64_t b = at / blocks;
    const std::int64_t first = at % blocks * kChannels;
    const Range channels{first, std::min(plan.channels, first + kChannels)};
    float* own = dx + b * image;
    for (std::int64_t i = 0; i < plan.rows.size * plan.columns.size; ++i) {
      std::fill(own + i * plan.channels + channels.begin, own + i * plan.channels + channels.end, 0.0f);
    }
    for (std::int64_t i = 0; i < plan.rows.windows * plan.columns.windows; ++i) {
      put(plan.rows.covered(i / plan.columns.windows),
          plan.columns.covered(i % plan.columns.windows), b,
          (b * plan.rows.windows * plan.columns.windows + i) * plan.channels, channels);
    }
  });
}

// buffers: dy [B, R, Q, C], x [B, H, W, C], dx [B, H, W, C]. numbers: as MaxPool. All of dy goes to the first of equal largest values.
Status max_pool_grad(const OpArguments& arguments) {
  Arguments in("MaxPoolGrad", arguments, 3, 12);
  const Plan plan = read_plan(in);
  const float* dy = in.buffer<float>(0, plan.y_count);
  const float* x = in.buffer<float>(1, plan.x_count);
  float* dx = in.buffer<float>(2, plan.x_count);
  if (!in.ok()) return in.status();
  const std::int64_t image = plan.rows.size * plan.columns.size * plan.channels;
  for_each_block(plan, dx, [&, dy, x, dx](Range rows, Range columns, std::int64_t b,
                                          std::int64_t window, Range channels) {
    const float* from = x + b * image;
    for (std::int64_t k = channels.begin; k < channels.end; ++k) {
      float most = -std::numeric_limits<float>::infinity();
      std::int64_t place = -1;
      for (std::int64_t r = rows.begin; r < rows.end; ++r) {
        for (std::int64_t c = columns.begin; c < columns.end; ++c) {
          const std::int64_t here = plan.place(r, c) + k;
          if (from[here] > most) {
            most = from[here];
            place = here;
          }
        }
      }
      if (place >= 0) dx[b * image + place] += dy[window + k];
    }
  });
  return {};
}

// buffers: dy [B, R, Q, C], dx [B, H, W, C]. numbers: as MaxPool. Divides by the elements of a whole window even where padding cuts it,
// which the specs of tfjs ask for.
Status avg_pool_grad(const OpArguments& arguments) {
  Arguments in("AvgPoolGrad", arguments, 2, 12);
  const Plan plan = read_plan(in);
  const float* dy = in.buffer<float>(0, plan.y_count);
  float* dx = in.buffer<float>(1, plan.x_count);
  if (!in.ok()) return in.status();
  const std::int64_t image = plan.rows.size * plan.columns.size * plan.channels;
  const float factor = share({0, plan.rows.window}, {0, plan.columns.window});
  for_each_block(plan, dx, [&, dy, dx](Range rows, Range columns, std::int64_t b,
                                       std::int64_t window, Range channels) {
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t c = columns.begin; c < columns.end; ++c) {
        float* to = dx + b * image + plan.place(r, c);
        for (std::int64_t k = channels.begin; k < channels.end; ++k) to[k] += factor * dy[window + k];
      }
    }
  });
  return {};
}

}  // namespace

void register_pool(OpTable& table) {
  table.add("AvgPool", avg_pool);
  table.add("AvgPoolGrad", avg_pool_grad);
  table.add("MaxPool", max_pool);
  table.add("MaxPoolGrad", max_pool_grad);
}

}  // namespace dm::cpu
