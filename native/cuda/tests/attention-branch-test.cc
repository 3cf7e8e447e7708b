// SPDX-License-Identifier: Apache-2.0
// The attention branch and its gradient on the device against float64: self, in windows, across; in both precisions.
#include "attention-branch-case.h"

#include "device-run.h"

using dm::test::attention_branch_kinds;
using dm::test::AttentionBranchCase;
using dm::test::AttentionBranchOptions;
using dm::test::Floats32;
using dm::test::run_device_op;

namespace {

/// The kinds at widths that the device has fast paths for, besides.
std::vector<AttentionBranchOptions> device_kinds() {
  std::vector<AttentionBranchOptions> all = attention_branch_kinds();
  all.push_back({.batch = 1, .tokens = 51, .width = 128, .heads = 2, .scaled = true});
  all.push_back({.batch = 1, .tokens = 17, .width = 64, .heads = 2, .context = 31});
  return all;
}

}  // namespace

TEST("every kind equals float64") {
  for (const AttentionBranchOptions& options : device_kinds()) {
    AttentionBranchCase(options).check(run_device_op, 1e-5);
  }
}

// Operands of 8 bits, rounded at the norm, the projections, the attended rows and their gradients.
TEST("in bfloat16 every kind is within 2^-5 of float64, relative to the largest value") {
  for (AttentionBranchOptions options : device_kinds()) {
    options.bfloat16 = true;
    AttentionBranchCase(options).check(run_device_op, 1.0 / 32);
  }
}

TEST("the same bits twice") {
  for (AttentionBranchOptions options : attention_branch_kinds()) {
    options.bfloat16 = true;
    AttentionBranchCase one(options);
    AttentionBranchCase two(options);
    CHECK_EQUAL(one.run(run_device_op), "");
    CHECK_EQUAL(two.run(run_device_op), "");
    CHECK(two.same_bits(one));
  }
}

TEST("no tokens across a context: gradients of 0") {
  for (const bool bfloat16 : {false, true}) {
    AttentionBranchCase none(
        {.batch = 2, .tokens = 0, .width = 8, .heads = 2, .context = 3, .bfloat16 = bfloat16});
    CHECK_EQUAL(none.run(run_device_op), "");
    CHECK(none.d_wkv == Floats32(128, 0));
    CHECK(none.d_context == Floats32(48, 0));
    CHECK(none.d_wq == Floats32(64, 0));
  }
}

TEST("refuses heads that do not divide the width, and windows with a context") {
  AttentionBranchCase heads({.batch = 1, .tokens = 2, .width = 8, .heads = 3});
  CHECK_EQUAL(heads.run(run_device_op),
              "DmAttentionBranch: expected heads that divide the width, got 3");
  AttentionBranchCase both({.batch = 1, .tokens = 16, .width = 8, .heads = 2, .context = 3});
  both.o.windows = {4, 4, 4, 4, 0, 0};
  CHECK_EQUAL(both.run(run_device_op), "DmAttentionBranch: expected no windows with a context, got windows");
}
