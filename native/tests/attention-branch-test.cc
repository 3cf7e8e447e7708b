// SPDX-License-Identifier: Apache-2.0
// The attention branch and its gradient against float64: self, in windows, across; in both precisions.
#include "attention-branch-case.h"
#include "run-op.h"

using namespace dm::test;

TEST("every kind equals float64") {
  for (const AttentionBranchOptions& options : attention_branch_kinds()) AttentionBranchCase(options).check(complaint, 1e-5);
}

// Operands of 8 bits, rounded at the norm, the projections, the attended rows and their gradients.
TEST("in bfloat16 every kind is within 2^-5 of float64, relative to the largest value") {
  for (AttentionBranchOptions options : attention_branch_kinds()) {
    options.bfloat16 = true;
    AttentionBranchCase(options).check(complaint, 1.0 / 32);
  }
}

TEST("every kind has the same bits for 1 and for 4 threads") {
  for (const bool bfloat16 : {false, true}) {
    for (AttentionBranchOptions options : attention_branch_kinds()) {
      options.bfloat16 = bfloat16;
      check_threads(AttentionBranchCase(options));
    }
  }
}

TEST("no tokens across a context: gradients of 0") {
  AttentionBranchCase none({.batch = 2, .tokens = 0, .width = 8, .heads = 2, .context = 3});
  CHECK_EQUAL(none.run(complaint), "");
  CHECK(none.d_wkv == Floats32(128, 0));
  CHECK(none.d_context == Floats32(48, 0));
  CHECK(none.d_wq == Floats32(64, 0));
}
