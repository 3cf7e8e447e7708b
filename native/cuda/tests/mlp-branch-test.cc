// SPDX-License-Identifier: Apache-2.0
// The MLP branch and its gradient on the device against float64, in both precisions.
#include "mlp-branch-case.h"

#include "device-run.h"

using dm::test::Floats32;
using dm::test::MlpBranchCase;
using dm::test::run_device_op;

TEST("the branch equals float64, with and without factors of the samples") {
  MlpBranchCase(2, 5, 12, 20, true, false).check(run_device_op, 5e-6);
  MlpBranchCase(1, 1, 7, 3, false, false).check(run_device_op, 5e-6);
  MlpBranchCase(2, 51, 32, 128, false, false).check(run_device_op, 5e-6);
  MlpBranchCase(3, 34, 48, 192, true, false).check(run_device_op, 5e-6);
}

// Products of bfloat16 operands (8 bits) and saved values of the same: 2^-8 of the largest value.
TEST("in bfloat16 it is within 2^-6 of float64, relative to the largest value") {
  MlpBranchCase(2, 5, 12, 20, true, true).check(run_device_op, 1.0 / 64);
  MlpBranchCase(1, 3, 7, 5, false, true).check(run_device_op, 1.0 / 64);
  MlpBranchCase(2, 51, 32, 128, false, true).check(run_device_op, 1.0 / 64);
  MlpBranchCase(1, 157, 64, 256, true, true).check(run_device_op, 1.0 / 64);
}

TEST("the same bits twice") {
  for (const bool bfloat16 : {false, true}) {
    MlpBranchCase one(2, 17, 24, 40, true, bfloat16);
    MlpBranchCase two = one;
    CHECK_EQUAL(one.run(run_device_op), "");
    CHECK_EQUAL(two.run(run_device_op), "");
    CHECK(two.same_bits(one));
  }
}

TEST("no tokens: nothing, and gradients of 0") {
  for (const bool bfloat16 : {false, true}) {
    MlpBranchCase none(2, 0, 4, 8, false, bfloat16);
    CHECK_EQUAL(none.run(run_device_op), "");
    CHECK(none.d_w1 == Floats32(32, 0));
    CHECK(none.d_w2 == Floats32(32, 0));
    CHECK(none.d_b1 == Floats32(8, 0));
    CHECK(none.d_norm_weight == Floats32(4, 0));
  }
}

TEST("says which buffer is too short") {
  MlpBranchCase wrong(1, 2, 4, 8, false, false);
  wrong.w2.pop_back();
  CHECK_EQUAL(wrong.run(run_device_op),
              "DmMlpBranch: expected buffer 5 of at least 32 elements of 4 bytes, got 124 bytes");
}
