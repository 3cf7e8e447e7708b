// SPDX-License-Identifier: Apache-2.0
// The MLP branch and its gradient against float64, in both precisions.
#include "mlp-branch-case.h"
#include "run-op.h"

using namespace dm::test;

TEST("the branch equals float64, with and without factors of the samples") {
  MlpBranchCase(2, 5, 12, 20, true, false).check(complaint, 5e-6);
  MlpBranchCase(1, 1, 7, 3, false, false).check(complaint, 5e-6);
  MlpBranchCase(2, 51, 64, 256, false, false).check(complaint, 5e-6);
  MlpBranchCase(3, 34, 48, 192, true, false).check(complaint, 5e-6);
}

// Products of bfloat16 operands (8 bits) and saved values of the same: 2^-8 of the largest value.
TEST("in bfloat16 it is within 2^-6 of float64, relative to the largest value") {
  MlpBranchCase(2, 5, 12, 20, true, true).check(complaint, 1.0 / 64);
  MlpBranchCase(2, 51, 64, 256, false, true).check(complaint, 1.0 / 64);
}

TEST("the branch has the same bits for 1 and for 4 threads") {
  for (const bool bfloat16 : {false, true}) {
    check_threads(MlpBranchCase(2, 102, 64, 256, false, bfloat16));
  }
}

TEST("no tokens: nothing, and gradients of 0") {
  MlpBranchCase none(2, 0, 4, 8, false, false);
  CHECK_EQUAL(none.run(complaint), "");
  CHECK(none.d_w1 == Floats32(32, 0));
  CHECK(none.d_w2 == Floats32(32, 0));
  CHECK(none.d_b1 == Floats32(8, 0));
  CHECK(none.d_norm_weight == Floats32(4, 0));
}
