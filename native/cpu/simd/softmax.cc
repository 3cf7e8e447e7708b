// SPDX-License-Identifier: Apache-2.0
// Three passes over a row that stays in the cache, while the row after it is fetched.
#include "cpu/simd/softmax.h"

#include "cpu/simd/fold.h"
#include "cpu/simd/math.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kFetched = 64;
constexpr std::int64_t kLine = 16;

/// fn(begin, end) for the blocks of a row.
template <typename Fn>
inline void for_blocks(std::int64_t count, const Fn& fn) {
  std::int64_t i = 0;
  for (; i + kFetched <= count; i += kFetched) fn(i, i + kFetched);
  if (i < count) fn(i, count);
}

inline void fetch(const float* p) {
  for (std::int64_t i = 0; i < kFetched; i += kLine) __builtin_prefetch(p + i);
}

void softmax(const float* x, float* y, std::int64_t count) {
  const float most = fold_row<MaxOp>(x, count);
  for_blocks(count, [=](std::int64_t begin, std::int64_t end) {
    fetch(x + count + begin);
    fetch(y + count + begin);
    for (std::int64_t i = begin; i < end; ++i) y[i] = exp_float(x[i] - most);
  });
  const float scale = static_cast<float>(1.0 / fold_row<SumOp>(y, count));
  for (std::int64_t i = 0; i < count; ++i) y[i] *= scale;
}

/// In blocks whose products are kept, so that no memory is asked for.
double dot(const float* a, const float* b, std::int64_t count) {
  constexpr std::int64_t kBlock = 256;
  double total = 0;
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t size = start + kBlock < count ? kBlock : count - start;
    double products[kBlock];
    for (std::int64_t i = 0; i < size; ++i) {
      products[i] = static_cast<double>(a[start + i]) * static_cast<double>(b[start + i]);
    }
    total += fold_row<SumOp>(products, size);
  }
  return total;
}

void gradient(const float* dy, const float* y, float* dx, std::int64_t count) {
  const float shift = static_cast<float>(dot(dy, y, count));
  for_blocks(count, [=](std::int64_t begin, std::int64_t end) {
    fetch(dy + count + begin);
    fetch(y + count + begin);
    for (std::int64_t i = begin; i < end; ++i) dx[i] = y[i] * (dy[i] - shift);
  });
}

}  // namespace

extern const SoftmaxKernels kSoftmax = {.row = softmax, .gradient = gradient};

}  // namespace dm::cpu::DM_ISA
