// SPDX-License-Identifier: Apache-2.0
// The Euclidean norm over several tensors: packages/core/src/ops/global-norm.ts.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/global-norm.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

struct Run {
  const float* x;
  std::int64_t count;
};

// buffers: n tensors, norm []. numbers: [count of each].
Status norm(const OpArguments& arguments) {
  Arguments in("DmGlobalNorm", arguments, arguments.buffer_count, 0);
  const std::size_t n = in.number_count();
  if (arguments.buffer_count != n + 1) {
    in.fail(std::to_string(n + 1) + " buffers", std::to_string(arguments.buffer_count));
  }
  float* result = in.buffer<float>(n, 1);
  std::vector<Run> runs;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    const std::int64_t count = in.count(i);
    const float* x = in.buffer<float>(i, count);
    for (std::int64_t begin = 0; begin < count && in.ok(); begin += kGrain) {
      runs.push_back({x + begin, std::min(kGrain, count - begin)});
    }
  }
  if (!in.ok()) return in.status();
  const GlobalNormKernels& kernels = DM_PICK(kGlobalNorm);
  const double squares = parallel_reduce(
      static_cast<std::int64_t>(runs.size()), 1, 0.0,
      [&](std::int64_t at, std::int64_t) {
        const auto [x, count] = runs[static_cast<std::size_t>(at)];
        return kernels.sum_of_squares(x, count);
      },
      [](double a, double b) { return a + b; });
  *result = static_cast<float>(std::sqrt(squares));
  return {};
}

}  // namespace

void register_global_norm(OpTable& table) { table.add("DmGlobalNorm", norm); }

}  // namespace dm::cpu
