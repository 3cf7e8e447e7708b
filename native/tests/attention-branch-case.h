// SPDX-License-Identifier: Apache-2.0
// The attention branch and its gradient: self, in windows, across; all against float64, for every device: `execute(name, buffers, numbers)` runs an op there and returns its
// complaint.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "block-reference.h"
#include "buffers.h"
#include "check.h"

namespace dm::test {

struct AttentionBranchOptions {
  std::size_t batch, tokens, width, heads;
  std::size_t context = 0;  ///< tokens of a context, or none
  bool windowed = false;
  Windows windows{0, 0, 0, 0, 0, 0};
  bool scaled = false;
  bool bfloat16 = false;
};

/// The op and its gradient on made-up values.
struct AttentionBranchCase {
  explicit AttentionBranchCase(const AttentionBranchOptions& options) : o(options) {
    const std::size_t rows = o.batch * o.tokens;
    const std::size_t width = o.width;
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    x = draw(rows * width, 1);
    norm_weight = draw(width, 2);
    norm_bias = draw(width, 3);
    wq = draw(projected() * width, 4, scale);
    bq = draw(projected(), 5);
    wp = draw(width * width, 6, scale);
    bp = draw(width, 7);
    context = draw(context_rows() * width, 8);
    wkv = draw(cross() ? 2 * width * width : 0, 9, scale);
    bkv = draw(cross() ? 2 * width : 0, 10);
    table = draw(o.windowed ? o.windows.table_rows() * o.heads : 0, 11);
    factors = draw(o.scaled ? o.batch : 0, 12);
    dy = draw(rows * width, 13);
    y = dx = Floats32(rows * width, NAN);
    mean = rstd = Floats32(rows, NAN);
    attended = typed(rows * width);
    log_sums = Floats32(rows * o.heads, NAN);
    own = typed(rows * projected());
    of_context = typed(context_rows() * 2 * width);
    d_norm_weight = d_norm_bias = d_bp = Floats32(width, NAN);
    d_wq = Floats32(wq.size(), NAN);
    d_bq = Floats32(bq.size(), NAN);
    d_wp = Floats32(wp.size(), NAN);
    d_table = Floats32(table.size(), NAN);
    d_wkv = Floats32(wkv.size(), NAN);
    d_bkv = Floats32(bkv.size(), NAN);
    d_context = Floats32(context.size(), NAN);
  }

  bool cross() const { return o.context > 0; }
  std::size_t projected() const { return cross() ? o.width : 3 * o.width; }
  std::size_t context_rows() const { return o.batch * o.context; }
  Floats32 typed(std::size_t count) const {
    return Floats32(o.bfloat16 ? (count + 1) / 2 : count, NAN);
  }

  std::vector<double> numbers() const {
    const auto n = [](std::size_t count) { return static_cast<double>(count); };
    const auto flag = [](bool set) { return set ? 1.0 : 0.0; };
    const Windows& w = o.windows;
    return {n(o.batch),       n(o.tokens),    n(o.context),       n(o.width),
            n(o.heads),       kBranchEpsilon,       flag(o.bfloat16),   flag(o.scaled),
            flag(cross()),    flag(o.windowed), n(w.rows),        n(w.columns),
            n(w.a),           n(w.b),         n(w.down),          n(w.right)};
  }

  /// The complaint of the op or of its gradient; empty when there is none.
  template <class Execute>
  std::string run(const Execute& execute) {
    std::vector<dm::Buffer> buffers{
        buffer_of(x),    buffer_of(norm_weight), buffer_of(norm_bias), buffer_of(wq),
        buffer_of(bq),   buffer_of(wp),          buffer_of(bp),        buffer_of(context),
        buffer_of(wkv),  buffer_of(bkv),         buffer_of(table),     buffer_of(factors),
        buffer_of(y),    buffer_of(mean),        buffer_of(rstd),      buffer_of(attended),
        buffer_of(log_sums), buffer_of(own)};
    if (cross()) buffers.push_back(buffer_of(of_context));
    const std::string forward = execute("DmAttentionBranch", buffers, numbers());
    if (!forward.empty()) return forward;
    buffers = {buffer_of(dy),    buffer_of(x),        buffer_of(norm_weight), buffer_of(norm_bias),
               buffer_of(wq),    buffer_of(wp),       buffer_of(context),     buffer_of(wkv),
               buffer_of(table), buffer_of(factors),  buffer_of(mean),        buffer_of(rstd),
               buffer_of(attended), buffer_of(log_sums), buffer_of(own)};
    if (cross()) buffers.push_back(buffer_of(of_context));
    for (Floats32* out : {&dx, &d_norm_weight, &d_norm_bias, &d_wq, &d_bq, &d_wp, &d_bp}) {
      buffers.push_back(buffer_of(*out));
    }
    if (o.windowed) buffers.push_back(buffer_of(d_table));
    if (cross()) {
      for (Floats32* out : {&d_wkv, &d_bkv, &d_context}) buffers.push_back(buffer_of(*out));
    }
    return execute("DmAttentionBranchGrad", buffers, numbers());
  }

  /// Columns [first, first + width) of rows of `columns`.
  Reals part(const Reals& rows, std::size_t columns, std::size_t first) const {
    Reals result;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i % columns >= first && i % columns < first + o.width) result.push_back(rows[i]);
    }
    return result;
  }

  Reals joined(const std::vector<const Reals*>& parts) const {
    Reals result;
    for (std::size_t row = 0; row < parts[0]->size() / o.width; ++row) {
      for (const Reals* rows : parts) {
        const auto start = rows->begin() + static_cast<std::ptrdiff_t>(row * o.width);
        result.insert(result.end(), start, start + static_cast<std::ptrdiff_t>(o.width));
      }
    }
    return result;
  }

  /// Everything within `bound` of float64, relative to the largest value.
  template <class Execute>
  void check(const Execute& execute, double bound) {
    CHECK_EQUAL(run(execute), "");
    const std::size_t width = o.width;
    const Standardized s = standardize(reals(x), width, kBranchEpsilon);
    const Reals normed = scaled(s, reals(norm_weight), reals(norm_bias));
    const Reals p = affine(normed, reals(wq), reals(bq), width);
    const Reals pc = cross() ? affine(reals(context), reals(wkv), reals(bkv), width) : Reals();
    const Reals q = part(p, projected(), 0);
    const Reals k = cross() ? part(pc, 2 * width, 0) : part(p, projected(), width);
    const Reals v = cross() ? part(pc, 2 * width, width) : part(p, projected(), 2 * width);
    const AttentionSizes z{o.batch, o.tokens, cross() ? o.context : o.tokens, width, o.heads};
    const Reals added = o.windowed ? o.windows.added(reals(table), o.heads) : Reals();
    const Reals mixed = attend(z, q, k, v, added);
    Reals expected = affine(mixed, reals(wp), reals(bp), width);
    Reals gradient = reals(dy);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double factor = o.scaled ? factors[i / (o.tokens * width)] : 1.0;
      expected[i] = expected[i] * factor + static_cast<double>(x[i]);
      gradient[i] *= factor;
    }
    const AffineGradient dp = affine_gradient(gradient, mixed, reals(wp), width, width);
    AttentionGradient d;
    attend(z, q, k, v, added, &dp.x, &d);
    const Reals d_own = cross() ? d.query : joined({&d.query, &d.key, &d.value});
    const AffineGradient dq = affine_gradient(d_own, normed, reals(wq), projected(), width);
    NormGradient d0 = norm_gradient(dq.x, s, reals(norm_weight));
    for (std::size_t i = 0; i < dy.size(); ++i) d0.x[i] += static_cast<double>(dy[i]);
    CHECK(distance(y, expected) < bound);
    CHECK(distance(dx, d0.x) < bound);
    CHECK(distance(d_norm_weight, d0.weight) < bound);
    CHECK(distance(d_norm_bias, d0.bias) < bound);
    CHECK(distance(d_wq, dq.weight) < bound);
    CHECK(distance(d_bq, dq.bias) < bound);
    CHECK(distance(d_wp, dp.weight) < bound);
    CHECK(distance(d_bp, dp.bias) < bound);
    if (o.windowed) {
      CHECK(distance(d_table, o.windows.table_gradient(d.added, o.heads)) < bound);
    }
    if (!cross()) return;
    const AffineGradient dkv =
        affine_gradient(joined({&d.key, &d.value}), reals(context), reals(wkv), 2 * width, width);
    CHECK(distance(d_wkv, dkv.weight) < bound);
    CHECK(distance(d_bkv, dkv.bias) < bound);
    CHECK(distance(d_context, dkv.x) < bound);
  }

  bool same_bits(const AttentionBranchCase& b) const {
    return y == b.y && dx == b.dx && d_norm_weight == b.d_norm_weight &&
           d_norm_bias == b.d_norm_bias && d_wq == b.d_wq && d_bq == b.d_bq && d_wp == b.d_wp &&
           d_bp == b.d_bp && d_table == b.d_table && d_wkv == b.d_wkv && d_bkv == b.d_bkv &&
           d_context == b.d_context;
  }

  AttentionBranchOptions o;
  Floats32 x, norm_weight, norm_bias, wq, bq, wp, bp, context, wkv, bkv, table, factors, dy;
  Floats32 y, mean, rstd, attended, log_sums, own, of_context;
  Floats32 dx, d_norm_weight, d_norm_bias, d_wq, d_bq, d_wp, d_bp;
  Floats32 d_table, d_wkv, d_bkv, d_context;
};

/// Self, in windows, and across.
inline std::vector<AttentionBranchOptions> attention_branch_kinds() {
  std::vector<AttentionBranchOptions> all;
  all.push_back({.batch = 2, .tokens = 7, .width = 24, .heads = 3});
  all.push_back({.batch = 3, .tokens = 51, .width = 32, .heads = 2, .scaled = true});
  all.push_back({.batch = 2, .tokens = 64, .width = 32, .heads = 4, .windowed = true,
                 .windows = {8, 8, 4, 4, 2, 2}});
  all.push_back({.batch = 1, .tokens = 32, .width = 16, .heads = 1, .windowed = true,
                 .windows = {4, 8, 4, 4, 2, 2}, .scaled = true});
  all.push_back({.batch = 2, .tokens = 13, .width = 24, .heads = 2, .context = 5});
  all.push_back({.batch = 2, .tokens = 3, .width = 32, .heads = 2, .context = 40, .scaled = true});
  return all;
}

}  // namespace dm::test
