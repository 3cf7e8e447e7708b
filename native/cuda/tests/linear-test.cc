// SPDX-License-Identifier: Apache-2.0
// Linear maps and their gradients on the device against float64, in both precisions.
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "block-reference.h"
#include "device-run.h"

using dm::test::buffer_of;
using dm::test::distance;
using dm::test::draw;
using dm::test::Floats32;
using dm::test::Reals;
using dm::test::reals;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

struct Linear {
  std::size_t rows, in, out;
  bool biased, gelu, bfloat16, input_gradient;

  void check(double bound) const {
    Floats32 x = draw(rows * in, 1);
    Floats32 w = draw(out * in, 2, 1 / std::sqrt(static_cast<double>(in)));
    Floats32 b = draw(out, 3);
    Floats32 dy = draw(rows * out, 4);
    Floats32 y = unwritten(rows * out);
    Floats32 saved = unwritten(bfloat16 ? (rows * out + 1) / 2 : rows * out);
    Floats32 dx = unwritten(rows * in);
    Floats32 dw = unwritten(out * in);
    Floats32 db = unwritten(out);
    std::vector<double> numbers{static_cast<double>(rows), static_cast<double>(in),
                                static_cast<double>(out),  biased ? 1.0 : 0.0,
                                gelu ? 1.0 : 0.0,          bfloat16 ? 1.0 : 0.0};
    std::vector<dm::Buffer> buffers{buffer_of(x), buffer_of(w)};
    if (biased) buffers.push_back(buffer_of(b));
    buffers.push_back(buffer_of(y));
    if (gelu) buffers.push_back(buffer_of(saved));
    CHECK_EQUAL(run_device_op("DmLinear", buffers, numbers), "");
    numbers.push_back(input_gradient ? 1.0 : 0.0);
    buffers = {buffer_of(dy), buffer_of(x), buffer_of(w)};
    if (gelu) buffers.push_back(buffer_of(saved));
    buffers.push_back(buffer_of(dw));
    if (biased) buffers.push_back(buffer_of(db));
    if (input_gradient) buffers.push_back(buffer_of(dx));
    CHECK_EQUAL(run_device_op("DmLinearGrad", buffers, numbers), "");

    const Reals before = dm::test::affine(reals(x), reals(w), biased ? reals(b) : Reals(out), in);
    Reals after = before;
    Reals upstream = reals(dy);
    for (std::size_t i = 0; gelu && i < before.size(); ++i) {
      after[i] = dm::test::gelu(before[i]);
      upstream[i] *= dm::test::gelu_slope(before[i]);
    }
    const auto d = dm::test::affine_gradient(upstream, reals(x), reals(w), out, in);
    CHECK_ERROR(distance(y, after), bound);
    CHECK_ERROR(distance(dw, d.weight), bound);
    if (biased) CHECK_ERROR(distance(db, d.bias), bound);
    if (input_gradient) CHECK_ERROR(distance(dx, d.x), bound);
  }
};

/// Every combination of bias, GELU and gradient of x.
void check_linear(std::size_t rows, std::size_t in, std::size_t out, bool bfloat16, double bound) {
  for (int flags = 0; flags < 8; ++flags) {
    Linear{rows, in, out, (flags & 1) != 0, (flags & 2) != 0, bfloat16, (flags & 4) != 0}.check(bound);
  }
}

}  // namespace

TEST("a linear map equals float64, with every combination of bias, GELU and gradient of x") {
  check_linear(17, 12, 20, false, 5e-6);
  check_linear(5, 7, 3, false, 5e-6);
}

// Products of bfloat16 operands (8 bits) and saved values of the same.
TEST("in bfloat16 it is within 2^-6 of float64, relative to the largest value") {
  check_linear(51, 40, 24, true, 1.0 / 64);
  check_linear(5, 7, 3, true, 1.0 / 64);
}

TEST("sums of columns over more rows than a block, and more columns than a strip") {
  Linear{313, 8, 132, true, false, false, false}.check(5e-6);
  Linear{313, 8, 133, true, false, true, true}.check(1.0 / 64);
  Linear{1025, 4, 8, true, false, false, false}.check(5e-6);
}

TEST("no rows: gradients of 0") {
  Floats32 none;
  Floats32 w = draw(12, 1);
  Floats32 dw = unwritten(12);
  Floats32 db = unwritten(3);
  for (const double bfloat16 : {0.0, 1.0}) {
    CHECK_EQUAL(run_device_op("DmLinearGrad",
                              {buffer_of(none), buffer_of(none), buffer_of(w), buffer_of(dw), buffer_of(db)},
                              {0, 4, 3, 1, 0, bfloat16, 0}),
                "");
    CHECK(dw == Floats32(12, 0));
    CHECK(db == Floats32(3, 0));
  }
}
