// SPDX-License-Identifier: Apache-2.0
// Chunks of rows; the gradients of weight and bias are partial sums by chunk, added in order.
#include "cpu/branch-rows.h"

#include <algorithm>
#include <cstddef>

#include "core/thread-pool.h"
#include "cpu/simd/branch.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;      // elements a chunk
constexpr std::int64_t kMostPartials = 64;  // partial sums of the parameters' gradients
constexpr std::int64_t kStrip = 256;        // columns whose partial sums a chunk adds

std::int64_t row_grain(std::int64_t width) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, width));
}

NormRow row_of(const LayerNormRows& norm) { return {norm.weight, norm.bias, norm.width, norm.epsilon}; }

std::byte* byte_row(void* y, MatrixType type, std::int64_t start) {
  return static_cast<std::byte*>(y) + start * bytes_of(type);
}

}  // namespace

void normalize_rows(const LayerNormRows& norm, void* y, MatrixType type, float* mean, float* rstd) {
  const auto kernel = DM_PICK(kBranch).normalize;
  parallel_for(norm.rows, row_grain(norm.width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      kernel(row_of(norm), norm.x + row * norm.width, byte_row(y, type, row * norm.width),
             type == MatrixType::kBFloat16, mean + row, rstd + row);
    }
  });
}

void normalize_rows_again(const LayerNormRows& norm, const float* mean, const float* rstd, void* y,
                          MatrixType type) {
  const auto kernel = DM_PICK(kBranch).normalize_again;
  parallel_for(norm.rows, row_grain(norm.width), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      kernel(row_of(norm), norm.x + row * norm.width, mean[row], rstd[row],
             byte_row(y, type, row * norm.width), type == MatrixType::kBFloat16);
    }
  });
}

void normalize_rows_gradient(const LayerNormRows& norm, const float* dy, const float* mean,
                             const float* rstd, const float* residual, float* dx, float* d_weight,
                             float* d_bias) {
  const auto kernel = DM_PICK(kBranch).normalize_gradient;
  const std::int64_t width = norm.width;
  const std::int64_t grain =
      std::max(row_grain(width), (norm.rows + kMostPartials - 1) / kMostPartials);
  const std::int64_t chunks = chunk_count(norm.rows, grain);
  const Scratch<float> partials(chunks * 2 * width);
  parallel_for(norm.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    float* sums = partials.data() + begin / grain * 2 * width;
    std::fill(sums, sums + 2 * width, 0.0f);
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t start = row * width;
      kernel(row_of(norm), dy + start, norm.x + start, mean[row], rstd[row], residual + start,
             dx + start, sums, sums + width);
    }
  });
  parallel_for(width, kStrip, [&](std::int64_t begin, std::int64_t end) {
    std::fill(d_weight + begin, d_weight + end, 0.0f);
    std::fill(d_bias + begin, d_bias + end, 0.0f);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const float* sums = partials.data() + chunk * 2 * width;
      for (std::int64_t i = begin; i < end; ++i) d_weight[i] += sums[i];
      for (std::int64_t i = begin; i < end; ++i) d_bias[i] += sums[width + i];
    }
  });
}

BranchGradient::BranchGradient(const float* dy, const float* factors, std::int64_t samples,
                               std::int64_t sample_size, MatrixType type)
    : data_(dy),
      unscaled_(factors == nullptr ? dy : nullptr),
      type_(type),
      scratch_(factors == nullptr && type == MatrixType::kFloat32
                   ? 0
                   : samples * sample_size * bytes_of(type)) {
  if (scratch_.data() == nullptr) return;
  const auto kernel = DM_PICK(kBranch).scale;
  std::byte* out = scratch_.data();
  data_ = out;
  const std::int64_t pieces = std::max<std::int64_t>(1, (sample_size + kGrain - 1) / kGrain);
  parallel_for(samples * pieces, 1, [&](std::int64_t piece, std::int64_t) {
    const std::int64_t sample = piece / pieces;
    const std::int64_t first = piece % pieces * kGrain;
    const std::int64_t start = sample * sample_size + first;
    kernel(dy + start, factors == nullptr ? 1.0f : factors[sample], byte_row(out, type, start),
           type == MatrixType::kBFloat16, std::min(kGrain, sample_size - first));
  });
}

void BranchGradient::column_sums_to(float* sums, std::int64_t rows, std::int64_t width) const {
  if (unscaled_ != nullptr) {
    column_sums(unscaled_, MatrixType::kFloat32, rows, width, sums);
  } else {
    column_sums(data_, type_, rows, width, sums);
  }
}

}  // namespace dm::cpu
