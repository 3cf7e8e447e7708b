// SPDX-License-Identifier: Apache-2.0
// DmMaskedPatchLoss and DmMaskedPatchLossGrad on a device: buffers and numbers as in cpu/masked-patch-loss.cc. A patch whose index is
// outside 0..T-1 makes its differences and the loss NaN.
#include "cuda/masked-patch-loss.cuh"

#include <algorithm>
#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/core/mean.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// The fewest registers that hold a patch; none for patches too long. Patches that are not read by fours take more registers for their
/// places.
void launch_loss(Device& device, const MaskedPatchLoss& p) {
  const Grid grid{.blocks = blocks_for(p.rows, kPatchWarps), .threads = kPatchWarps * kWarp};
  if (p.values % 4 == 0 && all_aligned({p.prediction, p.patches, p.difference}, 16)) {
    if (p.values <= 8 * kWarp) return launch<masked_patch_loss<8, true>>(device, grid, p);
    if (p.values <= 24 * kWarp) return launch<masked_patch_loss<24, true>>(device, grid, p);
    if (p.values <= 48 * kWarp) return launch<masked_patch_loss<48, true>>(device, grid, p);
  } else {
    if (p.values <= 8 * kWarp) return launch<masked_patch_loss<8, false>>(device, grid, p);
    if (p.values <= 24 * kWarp) return launch<masked_patch_loss<24, false>>(device, grid, p);
  }
  launch<masked_patch_loss<0, false>>(device, grid, p);
}

// buffers: prediction [B, M, P], patches [B, T, P], indices int32 [B, M], loss [], difference [B, M, P].
// numbers: [B, T, M, P, normalizeTargets]. Squares are summed in float32 within a patch, in float64 over patches.
Status loss(Device& device, const OpArguments& arguments) {
  Arguments in("DmMaskedPatchLoss", arguments, 5, 5);
  const std::int64_t tokens = in.count(1);
  const std::int64_t masked = in.count(2);
  const std::int64_t values = in.count(3);
  const std::int64_t rows = in.elements({in.count(0), masked});
  const std::int64_t all = in.elements({rows, values});
  if (values > INT32_MAX) in.fail("patches of at most 2^31 - 1 values", std::to_string(values));
  MaskedPatchLoss p{
      .prediction = in.buffer<float>(0, all),
      .patches = in.buffer<float>(1, in.elements({in.count(0), tokens, values})),
      .indices = in.buffer<std::int32_t>(2, rows),
      .difference = in.buffer<float>(4, all),
      .squares = nullptr,
      .rows = values == 0 ? 0 : rows,
      .tokens = tokens,
      .masked = Divisor(std::max<std::int64_t>(1, masked)),
      .values = static_cast<int>(values),
      .normalize = in.flag(4)};
  float* result = in.buffer<float>(3, 1);
  if (!in.ok()) return in.status();
  p.squares =
      static_cast<float*>(device.scratch(static_cast<std::size_t>(p.rows) * sizeof(float)));
  launch_loss(device, p);
  const Mean mean{.x = p.squares,
                  .out = result,
                  .count = p.rows,
                  .divisor = static_cast<double>(all)};
  launch<mean_of>(device, {.threads = kMeanThreads, .shared_bytes = kMeanShared}, mean);
  return {};
}

// buffers: dy [], difference, dPrediction. numbers: [count]. dPrediction = 2 dy difference / count.
Status loss_grad(Device& device, const OpArguments& arguments) {
  Arguments in("DmMaskedPatchLossGrad", arguments, 3, 1);
  const std::int64_t count = in.count(0);
  const MaskedPatchLossGradient body{.dy = in.buffer<float>(0, 1),
                                     .difference = in.buffer<float>(1, count),
                                     .d_prediction = in.buffer<float>(2, count),
                                     .factor = static_cast<float>(2.0 / static_cast<double>(count))};
  if (!in.ok()) return in.status();
  launch_elementwise(device, body, count, all_aligned({body.difference, body.d_prediction}, 16));
  return {};
}

}  // namespace

void register_masked_patch_loss(DeviceOpTable& table) {
  table.add("DmMaskedPatchLoss", loss);
  table.add("DmMaskedPatchLossGrad", loss_grad);
}

}  // namespace dm::cuda
