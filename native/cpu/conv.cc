// SPDX-License-Identifier: Apache-2.0
// Convolutions of two and three axes and their gradients, as matrix products with the patches that the windows read (conv-plan.h has the
// names). Patches are laid out a strip at a time; strips depend on shapes alone, so the bits do not depend on the number of threads.
//
// Beyond the borders x is 0, which is multiplied too: a filter that is not finite reaches what tfjs's own loops, which skip the padding,
// keep clean.
#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/conv-plan.h"
#include "cpu/families.h"
#include "cpu/matmul.h"
#include "cpu/scratch.h"
#include "cpu/simd/matmul.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;           // elements a chunk
constexpr std::int64_t kStripElements = 1 << 20;  // elements of patches that are laid out at once
/// The gradient of a filter of at most so many elements has too few tiles for several threads: it is summed up in parts.
constexpr std::int64_t kSmallFilter = 1 << 16;
constexpr std::int64_t kParts = 8;

/// Windows of which the patches are laid out at once.
std::int64_t strip_of(const ConvPlan& plan) {
  const std::int64_t windows = kStripElements / std::max<std::int64_t>(1, plan.patch());
  return std::max<std::int64_t>(1, std::min(plan.windows(), std::max<std::int64_t>(64, windows)));
}

// buffers: x [B, D, H, W, C], filter [taps of D, of H, of W, C, channels of y], bias [channels of y] if biased, y [B, d, h, w, channels].
// numbers: [biased, B, C, channels of y, then for frames, rows, columns: size, windows, stride, taps, dilation, padding before].
Status conv(const OpArguments& arguments) {
  const bool biased = arguments.number_count > 0 && arguments.numbers[0] != 0;
  Arguments in("DmConv", arguments, biased ? 4 : 3, 1 + kConvNumbers);
  const ConvPlan plan = read_conv_plan(in, 1);
  MatmulDescription d;
  d.k = plan.patch();
  d.n = plan.out_channels;
  const float* x = in.buffer<const float>(0, plan.x_count);
  const float* filter = in.buffer<const float>(1, d.k * d.n);
  if (biased) d.epilogue.bias = in.buffer<const float>(2, d.n);
  float* y = in.buffer<float>(biased ? 3 : 2, plan.y_count);
  if (!in.ok()) return in.status();
  d.a = row_major(d.k);
  d.b = row_major(d.n);
  d.c = row_major(d.n);
  d.m = plan.windows();
  if (plan.is_product()) return matmul(d, x, filter, y);
  const std::int64_t strip = strip_of(plan);
  const Scratch<float> patches(strip * d.k);
  for (std::int64_t first = 0; first < plan.windows(); first += strip) {
    d.m = std::min(strip, plan.windows() - first);
    gather_patches(plan, x, first, d.m, patches.data());
    const Status status = matmul(d, patches.data(), filter, y + first * d.n);
    if (!status.ok()) return status;
  }
  return {};
}

// buffers: dy [B, d, h, w, channels], filter, dx [B, D, H, W, C]. numbers: as DmConv, without biased.
Status conv_input_grad(const OpArguments& arguments) {
  Arguments in("DmConvInputGrad", arguments, 3, kConvNumbers);
  const ConvPlan plan = read_conv_plan(in, 0);
  MatmulDescription d;
  d.k = plan.out_channels;
  d.n = plan.patch();
  const float* dy = in.buffer<const float>(0, plan.y_count);
  const float* filter = in.buffer<const float>(1, d.k * d.n);
  float* dx = in.buffer<float>(2, plan.x_count);
  if (!in.ok()) return in.status();
  d.a = row_major(d.k);
  d.b = transposed(d.k);
  d.c = row_major(d.n);
  d.m = plan.windows();
  if (plan.is_product()) return matmul(d, dy, filter, dx);
  parallel_for(plan.x_count, kGrain, [dx](std::int64_t begin, std::int64_t end) {
    std::fill(dx + begin, dx + end, 0.0f);
  });
  const std::int64_t across = std::max<std::int64_t>(1, plan.columns.windows);
  const std::int64_t strip = std::max<std::int64_t>(1, strip_of(plan) / across);
  const Scratch<float> patches(strip * across * d.n);
  for (std::int64_t first = 0; first < plan.out_lines(); first += strip) {
    const std::int64_t lines = std::min(strip, plan.out_lines() - first);
    d.m = lines * plan.columns.windows;
    const float* rows = dy + first * plan.columns.windows * d.k;
    const Status status = matmul(d, rows, filter, patches.data());
    if (!status.ok()) return status;
    scatter_patches(plan, patches.data(), first, lines, dx);
  }
  return {};
}

/// The product over the windows of a strip, added to dw: in kParts parts beside each other where tiles are few.
class FilterGrad {
 public:
  FilterGrad(const ConvPlan& plan, std::int64_t strip, float* dw)
      : m_(plan.patch()), n_(plan.out_channels), dw_(dw) {
    if (m_ * n_ > kSmallFilter || strip < 64 * kParts) return;
    part_ = strip / kParts;
    parts_.emplace(kParts * m_ * n_);
  }

  Status add(const float* patches, const float* dy, std::int64_t windows) {
    const std::int64_t parts = part_ == 0 ? 0 : windows / part_;
    if (parts > 1) {
      const Status status = multiply(patches, dy, part_, parts);
      if (!status.ok()) return status;
    }
    const std::int64_t done = parts > 1 ? parts * part_ : 0;
    if (done == windows && started_) return {};
    return multiply(patches + done * m_, dy + done * n_, windows - done, 1);
  }

 private:
  Status multiply(const float* patches, const float* dy, std::int64_t windows,
                  std::int64_t parts) {
    MatmulDescription d;
    d.m = m_;
    d.k = windows;
    d.n = n_;
    d.batch = parts;
    d.a = transposed(m_, MatrixType::kFloat32, parts > 1 ? windows * m_ : 0);
    d.b = row_major(n_, MatrixType::kFloat32, parts > 1 ? windows * n_ : 0);
    d.c = row_major(n_, MatrixType::kFloat32, m_ * n_);
    d.accumulate = parts == 1 && started_;
    const Status status = matmul(d, patches, dy, parts > 1 ? parts_->data() : dw_);
    if (parts > 1 && status.ok()) add_parts(parts);
    started_ = true;
    return status;
  }

  void add_parts(std::int64_t parts) {
    const std::int64_t count = m_ * n_;
    const float* values = parts_->data();
    parallel_for(count, kGrain, [=, this](std::int64_t begin, std::int64_t end) {
      if (!started_) std::fill(dw_ + begin, dw_ + end, 0.0f);
      for (std::int64_t i = 0; i < parts; ++i) {
        DM_PICK(kMatmul).add(values + i * count + begin, dw_ + begin, end - begin);
      }
    });
  }

  std::int64_t m_, n_;
  float* dw_;
  std::int64_t part_ = 0;  ///< windows; 0 without parts
  std::optional<Scratch<float>> parts_;
  bool started_ = false;
};

// buffers: x [B, D, H, W, C], dy [B, d, h, w, channels], dfilter. numbers: as DmConv, without biased.
Status conv_filter_grad(const OpArguments& arguments) {
  Arguments in("DmConvFilterGrad", arguments, 3, kConvNumbers);
  const ConvPlan plan = read_conv_plan(in, 0);
  const std::int64_t n = plan.out_channels;
  const float* x = in.buffer<const float>(0, plan.x_count);
  const float* dy = in.buffer<const float>(1, plan.y_count);
  float* dw = in.buffer<float>(2, plan.patch() * n);
  if (!in.ok()) return in.status();
  const bool whole = plan.is_product();
  const std::int64_t strip = strip_of(plan);
  const Scratch<float> patches(whole ? 0 : strip * plan.patch());
  FilterGrad sum(plan, strip, dw);
  std::int64_t first = 0;
  do {
    const std::int64_t windows = std::min(strip, plan.windows() - first);
    if (!whole) gather_patches(plan, x, first, windows, patches.data());
    const float* rows = whole ? x + first * plan.patch() : patches.data();
    const Status status = sum.add(rows, dy + first * n, windows);
    if (!status.ok()) return status;
    first += strip;
  } while (first < plan.windows());
  return {};
}

}  // namespace

void register_conv(OpTable& table) {
  table.add("DmConv", conv);
  table.add("DmConvFilterGrad", conv_filter_grad);
  table.add("DmConvInputGrad", conv_input_grad);
}

}  // namespace dm::cpu
