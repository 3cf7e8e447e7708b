// SPDX-License-Identifier: Apache-2.0
// Scores of a block of queries by a block of keys at a time, both small enough for the second-level cache; with more keys than a
// block, a running maximum and sum (arXiv 2205.14135 §3.1). Products of bfloat16 rows take bfloat16; what is between them is float32.
#include "cpu/simd/attention.h"

#include "cpu/simd/attention-backward.h"
#include "cpu/simd/attention-forward.h"

namespace dm::cpu::DM_ISA {
namespace {

template <typename Fn>
auto with_product(const Head& head, const Fn& fn) {
#if defined(__AVX512BF16__)
  if (head.query.bfloat16) return fn(BFloat16Product{});
#endif
  (void)head;
  return fn(Float32Product{});
}

std::int64_t forward_scratch(const Head& head) {
  return with_product(head, [&](auto product) {
    return forward_parts<decltype(product)>(head, plan_of(head, kForwardScores), nullptr).floats;
  });
}

std::int64_t backward_scratch(const Head& head) {
  return with_product(head, [&](auto product) {
    return backward_parts<decltype(product)>(head, plan_of(head, kBackwardScores), nullptr).floats;
  });
}

void forward(const HeadForward& call, float* scratch) {
  with_product(call.head, [&](auto product) { forward_of<decltype(product)>(call, scratch); });
}

void backward(const HeadBackward& call, float* scratch) {
  with_product(call.head, [&](auto product) { backward_of<decltype(product)>(call, scratch); });
}

}  // namespace

extern const AttentionKernels kAttention = {
    .forward_scratch = forward_scratch,
    .backward_scratch = backward_scratch,
    .forward = forward,
    .backward = backward,
};

}  // namespace dm::cpu::DM_ISA
