// SPDX-License-Identifier: Apache-2.0
// One AdamW step of all parameters: packages/core/src/ops/adamw-update.ts.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/adamw-update.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk
constexpr std::size_t kFixed = 4;       // numbers before those of the parameters
constexpr std::size_t kEach = 3;        // numbers of a parameter

struct Chunk {
  std::size_t parameter;
  std::int64_t begin, end;
};

/// No step: outputs of their own become what the inputs are.
void keep(const AdamwStep&, const AdamwBlocks& blocks, std::int64_t begin, std::int64_t end) {
  const auto copy = [=](const float* from, float* to) {
    if (from != to) std::copy(from + begin, from + end, to + begin);
  };
  copy(blocks.parameter, blocks.parameter_out);
  copy(blocks.first, blocks.first_out);
  copy(blocks.second, blocks.second_out);
}

// buffers: parameter, gradient, first, second of each of n parameters; gradientScale []; rates [3]; then parameter, first, second of
// each, which may be those given. numbers: [n, beta1, beta2, epsilon, then count, rateScale, weightDecay of each].
// A scale that is not finite leaves everything as it was.
Status update(const OpArguments& arguments) {
  Arguments in("DmAdamwUpdate", arguments, arguments.buffer_count, kFixed);
  const auto n = static_cast<std::size_t>(in.count(0));
  if (in.ok() && (arguments.buffer_count != 7 * n + 2 ||
                  in.number_count() < kFixed + kEach * n)) {
    in.fail(std::to_string(7 * n + 2) + " buffers and " + std::to_string(kFixed + kEach * n) +
                " numbers",
            std::to_string(arguments.buffer_count) + " and " + std::to_string(in.number_count()));
  }
  const float* scale = in.buffer<float>(4 * n, 1);
  const double beta1 = in.number(1);
  const double beta2 = in.number(2);
  const float* rates = in.buffer<float>(4 * n + 1, 3);
  if (!in.ok()) return in.status();
  const AdamwStep common{.gradient_scale = *scale,
                         .beta1 = static_cast<float>(beta1),
                         .one_minus_beta1 = static_cast<float>(1 - beta1),
                         .beta2 = static_cast<float>(beta2),
                         .one_minus_beta2 = static_cast<float>(1 - beta2),
                         .epsilon = static_cast<float>(in.number(3)),
                         .root_scale = rates[2],
                         .decay = 1,
                         .rate = 0};
  std::vector<AdamwStep> steps(n, common);
  std::vector<AdamwBlocks> blocks(n);
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < n && in.ok(); ++i) {
    const std::int64_t count = in.count(kFixed + kEach * i);
    const double rate_scale = in.number(kFixed + kEach * i + 1);
    const double weight_decay = in.number(kFixed + kEach * i + 2);
    steps[i].decay = 1 - rates[0] * static_cast<float>(rate_scale * weight_decay);
    steps[i].rate = rates[1] * static_cast<float>(rate_scale);
    const std::size_t out = 4 * n + 2 + 3 * i;
    blocks[i] = {.parameter = in.buffer<float>(4 * i, count),
                 .gradient = in.buffer<float>(4 * i + 1, count),
                 .first = in.buffer<float>(4 * i + 2, count),
                 .second = in.buffer<float>(4 * i + 3, count),
                 .parameter_out = in.buffer<float>(out, count),
                 .first_out = in.buffer<float>(out + 1, count),
                 .second_out = in.buffer<float>(out + 2, count)};
    for (std::int64_t begin = 0; begin < count && in.ok(); begin += kGrain) {
      chunks.push_back({i, begin, std::min(count, begin + kGrain)});
    }
  }
  if (!in.ok()) return in.status();
  const AdamwKernels& kernels = DM_PICK(kAdamw);
  const auto run = std::isfinite(*scale) ? kernels.update : keep;
  parallel_for(static_cast<std::int64_t>(chunks.size()), 1, [&](std::int64_t at, std::int64_t) {
    const auto [parameter, begin, end] = chunks[static_cast<std::size_t>(at)];
    run(steps[parameter], blocks[parameter], begin, end);
  });
  return {};
}

}  // namespace

void register_adamw_update(OpTable& table) { table.add("DmAdamwUpdate", update); }

}  // namespace dm::cpu
