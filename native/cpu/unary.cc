// SPDX-License-Identifier: Apache-2.0
// Elementwise ops of one float32 operand.
#include "cpu/simd/unary.h"

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

// Elements a chunk: 64 KiB of input.
constexpr std::int64_t kGrain = 16384;

// buffers: x, y (may be one block). numbers: [count].
template <UnaryKernel UnaryKernels::* kKernel>
Status unary(const OpArguments& arguments) {
  Arguments in("unary", arguments, 2, 1);
  const std::int64_t count = in.count(0);
  const float* x = in.buffer<float>(0, count);
  float* y = in.buffer<float>(1, count);
  if (!in.ok()) return in.status();
  const UnaryKernel kernel = DM_PICK(kUnary).*kKernel;
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    kernel(x + begin, y + begin, end - begin);
  });
  return {};
}

}  // namespace

void register_unary(OpTable& table) {
  table.add("Abs", unary<&UnaryKernels::abs>);
  table.add("Exp", unary<&UnaryKernels::exp>);
  table.add("Neg", unary<&UnaryKernels::neg>);
  table.add("Reciprocal", unary<&UnaryKernels::reciprocal>);
  table.add("Relu", unary<&UnaryKernels::relu>);
  table.add("Rsqrt", unary<&UnaryKernels::rsqrt>);
  table.add("Sigmoid", unary<&UnaryKernels::sigmoid>);
  table.add("Sqrt", unary<&UnaryKernels::sqrt>);
  table.add("Square", unary<&UnaryKernels::square>);
}

}  // namespace dm::cpu
