// SPDX-License-Identifier: Apache-2.0
// The geometry of a convolution of two or three axes, and its patches as rows of a matrix.
//
// B clips of D frames of H rows of W columns of C channels, stored in this order; windows are d, h,
// w along the axes and have taps that read x; two axes are D = d = 1. A patch is what one window
// reads, [taps of D, of H, of W, C], with zeros beyond the borders; a line is all windows, or all
// columns, of one row of one frame.
#pragma once

#include <cstdint>

#include "core/arguments.h"

namespace dm::cpu {

/// Along one axis.
struct ConvSide {
  std::int64_t size, windows, stride, taps, dilation, before;

  /// What tap `tap` of window `window` reads; outside 0..size-1 is padding.
  std::int64_t place(std::int64_t window, std::int64_t tap) const {
    return window * stride - before + tap * dilation;
  }
  bool holds(std::int64_t place) const { return place >= 0 && place < size; }
  /// The window whose tap `tap` reads `place`, or -1.
  std::int64_t window_at(std::int64_t place, std::int64_t tap) const {
    const std::int64_t offset = place + before - tap * dilation;
    if (offset < 0 || offset % stride != 0) return -1;
    return offset / stride < windows ? offset / stride : -1;
  }
  bool copies() const { return taps == 1 && stride == 1 && before == 0 && windows == size; }
};

struct ConvPlan {
  std::int64_t batch, in_channels, out_channels;
  ConvSide frames, rows, columns;
  std::int64_t x_count, y_count;  ///< elements of x and of y

  std::int64_t taps() const { return frames.taps * rows.taps * columns.taps; }
  std::int64_t patch() const { return taps() * in_channels; }
  std::int64_t windows() const { return out_lines() * columns.windows; }
  std::int64_t out_lines() const { return batch * frames.windows * rows.windows; }
  std::int64_t in_lines() const { return batch * frames.size * rows.size; }
  /// Whether x itself is the matrix of patches.
  bool is_product() const { return frames.copies() && rows.copies() && columns.copies(); }
};

inline constexpr std::size_t kConvNumbers = 21;

/// Reads `[B, C, channels of y, then size, windows, stride, taps, dilation, padding before of
/// frames, the same of rows, the same of columns]` from number `first` on.
ConvPlan read_conv_plan(Arguments& in, std::size_t first);

/// Where a line is: of windows for lines of y, of elements for lines of x.
struct ConvLine {
  std::int64_t clip, frame, row;
};

inline ConvLine out_line(const ConvPlan& plan, std::int64_t line) {
  return {line / (plan.frames.windows * plan.rows.windows),
          line / plan.rows.windows % plan.frames.windows, line % plan.rows.windows};
}

inline ConvLine in_line(const ConvPlan& plan, std::int64_t line) {
  return {line / (plan.frames.size * plan.rows.size), line / plan.rows.size % plan.frames.size,
          line % plan.rows.size};
}

/// patches [count, patch()] of the windows from `first` on.
void gather_patches(const ConvPlan& plan, const float* x, std::int64_t first, std::int64_t count,
                    float* patches);

/// dx += patches [lines * w, patch()] of the windows of `lines` lines of y from `first` on, each
/// value at the place it was read from.
void scatter_patches(const ConvPlan& plan, const float* patches, std::int64_t first,
                     std::int64_t lines, float* dx);

}  // namespace dm::cpu
