// SPDX-License-Identifier: Apache-2.0
// FusedBatchNorm: normalization of the last axis by given means and variances.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

// buffers: x [rows, channels], mean, variance, then scale and offset if there are (all [channels]), y [rows, channels].
// numbers: [rows, channels, epsilon, scaled, shifted]. y = (x - mean) * scale / sqrt(variance + epsilon) + offset.
Status batch_norm(const OpArguments& arguments) {
  Arguments in("FusedBatchNorm", arguments, arguments.buffer_count, 5);
  const std::int64_t rows = in.count(0);
  const std::int64_t channels = in.count(1);
  const bool scaled = in.flag(3);
  const bool shifted = in.flag(4);
  const auto epsilon = static_cast<float>(in.number(2));
  std::size_t next = 3;
  const float* x = in.buffer<float>(0, in.product(0, 2));
  const float* mean = in.buffer<float>(1, channels);
  const float* variance = in.buffer<float>(2, channels);
  const float* scale = scaled ? in.buffer<float>(next++, channels) : nullptr;
  const float* offset = shifted ? in.buffer<float>(next++, channels) : nullptr;
  float* y = in.buffer<float>(next, in.product(0, 2));
  if (!in.ok()) return in.status();
  std::vector<float> factor(static_cast<std::size_t>(channels));
  std::vector<float> shift(static_cast<std::size_t>(channels));
  for (std::int64_t k = 0; k < channels; ++k) {
    const float rstd = 1.0f / std::sqrt(variance[k] + epsilon);
    factor[static_cast<std::size_t>(k)] = scaled ? scale[k] * rstd : rstd;
    shift[static_cast<std::size_t>(k)] = shifted ? offset[k] : 0.0f;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, channels));
  parallel_for(rows, grain, [=, &factor, &shift](std::int64_t begin, std::int64_t end) {
    const float* by = factor.data();
    const float* plus = shift.data();
    for (std::int64_t row = begin; row < end; ++row) {
      const float* from = x + row * channels;
      float* to = y + row * channels;
      for (std::int64_t k = 0; k < channels; ++k) to[k] = (from[k] - mean[k]) * by[k] + plus[k];
    }
  });
  return {};
}

}  // namespace

void register_batch_norm(OpTable& table) { table.add("FusedBatchNorm", batch_norm); }

}  // namespace dm::cpu
