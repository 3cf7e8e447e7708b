// SPDX-License-Identifier: Apache-2.0
// The MLP branch and its gradient against float64, for every device: `execute(name, buffers, numbers)` runs an op there and returns its
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

/// The op and its gradient on made-up values.
struct MlpBranchCase {
  MlpBranchCase(std::size_t batch_, std::size_t tokens_, std::size_t width_, std::size_t hidden_,
         bool scaled_, bool bfloat16_)
      : batch(batch_),
        tokens(tokens_),
        width(width_),
        hidden(hidden_),
        scaled_by_sample(scaled_),
        bfloat16(bfloat16_) {
    const std::size_t rows = batch * tokens;
    x = draw(rows * width, 1);
    norm_weight = draw(width, 2);
    norm_bias = draw(width, 3);
    w1 = draw(hidden * width, 4, 1 / std::sqrt(static_cast<double>(width)));
    b1 = draw(hidden, 5);
    w2 = draw(width * hidden, 6, 1 / std::sqrt(static_cast<double>(hidden)));
    b2 = draw(width, 7);
    factors = scaled_by_sample ? draw(batch, 8) : Floats32();
    dy = draw(rows * width, 9);
    y = dx = Floats32(rows * width, NAN);
    mean = rstd = Floats32(rows, NAN);
    preactivation = Floats32(bfloat16 ? (rows * hidden + 1) / 2 : rows * hidden, NAN);
    d_norm_weight = d_norm_bias = d_b2 = Floats32(width, NAN);
    d_b1 = Floats32(hidden, NAN);
    d_w1 = d_w2 = Floats32(hidden * width, NAN);
  }

  /// The complaint of the op or of its gradient; empty when there is none.
  template <class Execute>
  std::string run(const Execute& execute) {
    const auto n = [](std::size_t count) { return static_cast<double>(count); };
    const std::vector<double> numbers{n(batch),
                                      n(tokens),
                                      n(width),
                                      n(hidden),
                                      kBranchEpsilon,
                                      bfloat16 ? 1.0 : 0.0,
                                      scaled_by_sample ? 1.0 : 0.0};
    const std::string forward = execute(
        "DmMlpBranch",
        {buffer_of(x), buffer_of(norm_weight), buffer_of(norm_bias), buffer_of(w1), buffer_of(b1),
         buffer_of(w2), buffer_of(b2), buffer_of(factors), buffer_of(y), buffer_of(mean),
         buffer_of(rstd), buffer_of(preactivation)},
        numbers);
    if (!forward.empty()) return forward;
    return execute("DmMlpBranchGrad",
                  {buffer_of(dy), buffer_of(x), buffer_of(norm_weight), buffer_of(norm_bias),
                   buffer_of(w1), buffer_of(w2), buffer_of(factors), buffer_of(mean),
                   buffer_of(rstd), buffer_of(preactivation), buffer_of(dx),
                   buffer_of(d_norm_weight), buffer_of(d_norm_bias), buffer_of(d_w1),
                   buffer_of(d_b1), buffer_of(d_w2), buffer_of(d_b2)},
                  numbers);
  }

  double factor(std::size_t i) const { return factors.empty() ? 1 : factors[i / (tokens * width)]; }

  /// Everything within `bound` of float64, relative to the largest value.
  template <class Execute>
  void check(const Execute& execute, double bound) {
    CHECK_EQUAL(run(execute), "");
    const Standardized s = standardize(reals(x), width, kBranchEpsilon);
    const Reals normed = scaled(s, reals(norm_weight), reals(norm_bias));
    const Reals before = affine(normed, reals(w1), reals(b1), width);
    Reals after = before;
    for (double& value : after) value = gelu(value);
    Reals expected = affine(after, reals(w2), reals(b2), hidden);
    Reals gradient = reals(dy);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = expected[i] * factor(i) + static_cast<double>(x[i]);
      gradient[i] *= factor(i);
    }
    AffineGradient d2 = affine_gradient(gradient, after, reals(w2), width, hidden);
    for (std::size_t i = 0; i < before.size(); ++i) d2.x[i] *= gelu_slope(before[i]);
    const AffineGradient d1 = affine_gradient(d2.x, normed, reals(w1), hidden, width);
    NormGradient d0 = norm_gradient(d1.x, s, reals(norm_weight));
    for (std::size_t i = 0; i < dy.size(); ++i) d0.x[i] += static_cast<double>(dy[i]);
    CHECK(distance(y, expected) < bound);
    CHECK(distance(dx, d0.x) < bound);
    CHECK(distance(d_norm_weight, d0.weight) < bound);
    CHECK(distance(d_norm_bias, d0.bias) < bound);
    CHECK(distance(d_w1, d1.weight) < bound);
    CHECK(distance(d_b1, d1.bias) < bound);
    CHECK(distance(d_w2, d2.weight) < bound);
    CHECK(distance(d_b2, d2.bias) < bound);
  }

  bool same_bits(const MlpBranchCase& b) const {
    return y == b.y && dx == b.dx && d_norm_weight == b.d_norm_weight &&
           d_norm_bias == b.d_norm_bias && d_w1 == b.d_w1 && d_b1 == b.d_b1 && d_w2 == b.d_w2 &&
           d_b2 == b.d_b2;
  }

  std::size_t batch, tokens, width, hidden;
  bool scaled_by_sample, bfloat16;
  Floats32 x, norm_weight, norm_bias, w1, b1, w2, b2, factors, dy;
  Floats32 y, mean, rstd, preactivation;
  Floats32 dx, d_norm_weight, d_norm_bias, d_w1, d_b1, d_w2, d_b2;
};

}  // namespace dm::test
