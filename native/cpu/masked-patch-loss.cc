// SPDX-License-Identifier: Apache-2.0
// Mean square error of masked patches: packages/core/src/ops/masked-patch-loss.ts.
//
// B batch, T tokens, M masked patches, P values of a patch.
#include <algorithm>
#include <cstdint>

#include "core/arguments.h"
#include "core/indices.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/binary.h"
#include "cpu/simd/masked-patch-loss.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk
constexpr float kEpsilon = 1e-6f;

// buffers: prediction [B, M, P], patches [B, T, P], indices int32 [B, M], loss [], difference [B, M, P].
// numbers: [B, T, M, P, normalizeTargets]. Squares are summed in float32 within a patch, in float64 over patches.
Status loss(const OpArguments& arguments) {
  Arguments in("DmMaskedPatchLoss", arguments, 5, 5);
  const std::int64_t tokens = in.count(1);
  const std::int64_t masked = in.count(2);
  const std::int64_t values = in.count(3);
  const bool normalize = in.flag(4);
  const std::int64_t rows = in.elements({in.count(0), masked});
  const std::int64_t all = in.elements({rows, values});
  const float* prediction = in.buffer<float>(0, all);
  const float* patches = in.buffer<float>(1, in.elements({in.count(0), tokens, values}));
  const std::int32_t* indices = in.buffer<std::int32_t>(2, rows);
  float* result = in.buffer<float>(3, 1);
  float* difference = in.buffer<float>(4, all);
  check_indices(in, indices, rows, tokens);
  if (!in.ok()) return in.status();
  const MaskedPatchLossKernels& kernels = DM_PICK(kMaskedPatchLoss);
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, values));
  const double squares = parallel_reduce(
      rows, grain, 0.0,
      [=, &kernels](std::int64_t begin, std::int64_t end) {
        double sum = 0;
        for (std::int64_t row = begin; row < end; ++row) {
          const float* target = patches + (row / masked * tokens + indices[row]) * values;
          sum += static_cast<double>(kernels.patch(prediction + row * values, target, values,
                                                   normalize, kEpsilon, difference + row * values));
        }
        return sum;
      },
      [](double a, double b) { return a + b; });
  *result = static_cast<float>(squares / static_cast<double>(all));
  return {};
}

// buffers: dy [], difference, dPrediction. numbers: [count]. dPrediction = 2 dy difference / count.
Status loss_grad(const OpArguments& arguments) {
  Arguments in("DmMaskedPatchLossGrad", arguments, 3, 1);
  const std::int64_t count = in.count(0);
  const float* dy = in.buffer<float>(0, 1);
  const float* difference = in.buffer<float>(1, count);
  float* out = in.buffer<float>(2, count);
  if (!in.ok()) return in.status();
  const float scale = *dy * static_cast<float>(2.0 / static_cast<double>(count));
  const auto multiply = DM_PICK(kBinary).floats.multiply;
  parallel_for(count, kGrain, [=, &scale](std::int64_t begin, std::int64_t end) {
    multiply(difference + begin, 1, &scale, 0, out + begin, end - begin);
  });
  return {};
}

}  // namespace

void register_masked_patch_loss(OpTable& table) {
  table.add("DmMaskedPatchLoss", loss);
  table.add("DmMaskedPatchLossGrad", loss_grad);
}

}  // namespace dm::cpu
