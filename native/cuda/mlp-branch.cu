// SPDX-License-Identifier: Apache-2.0
// x + factor * fc2(gelu(fc1(layerNorm(x)))) and its gradient on a device. GELU and the normalized rows are computed again.
//
// Passes over memory besides the products. Forward: the norm (x to rows of the products' type); bias and GELU are the first product's, bias,
// factor and x the second's. Backward: the factor, the rounding and the column sums of dy in one; the column sums of the preactivation's gradient,
// whose slope and GELU itself are the product's; and the norm's gradient, which adds dy and writes the normalized rows.
#include <cstddef>
#include <cstdint>

#include "core/mlp-branch-arguments.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"
#include "cuda/layer-norm.h"

namespace dm::cuda {

namespace {

void run_forward(Device& device, const MlpBranchArguments& f) {
  const MlpBranchSizes& sizes = f.sizes;
  ScratchPlan plan;
  const TypedCopies copies(plan, sizes.type);
  const std::size_t normed = plan.add(sizes.bytes(sizes.size()));
  const std::size_t hidden = plan.add(sizes.bytes(sizes.hidden_size()));
  if (!plan.take(device)) return;

  layer_norm_rows(device, f.norm, plan.at(normed), sizes.bfloat16(), f.mean, f.rstd);
  const LinearWeight fc1{copies.weight(device, f.fc1, sizes.weight_size()), sizes.hidden,
                         sizes.width, sizes.type};
  MatmulDescription first = linear_product(fc1, sizes.rows(), sizes.type, sizes.type);
  first.epilogue.bias = f.fc1_bias;
  first.epilogue.activation = MatmulActivation::kGelu;
  first.epilogue.preactivation = f.preactivation;
  first.epilogue.preactivation_type = sizes.type;
  matmul(device, first, plan.at(normed), fc1.data, plan.at(hidden));

  const LinearWeight fc2{copies.weight(device, f.fc2, sizes.weight_size()), sizes.width,
                         sizes.hidden, sizes.type};
  MatmulDescription second = linear_product(fc2, sizes.rows(), sizes.type, MatrixType::kFloat32);
  second.epilogue.bias = f.fc2_bias;
  second.epilogue.row_scale = f.factors;
  second.epilogue.rows_per_scale = sizes.tokens;
  second.epilogue.residual = f.norm.x;
  matmul(device, second, plan.at(hidden), fc2.data, f.y);
}

Status forward(Device& device, const OpArguments& arguments) {
  const MlpBranchArguments f(arguments);
  if (!f.in.ok()) return f.in.status();
  run_forward(device, f);
  return {};
}

/// Where the pieces of the scratch are.
struct Pieces {
  std::size_t gradient, hidden, d_preactivation, normed, d_normed, sums, d_norm;

  Pieces(ScratchPlan& plan, const Device& device, const MlpBranchSizes& sizes)
      : gradient(plan.add(sizes.bytes(sizes.size()))),
        hidden(plan.add(sizes.bytes(sizes.hidden_size()))),
        d_preactivation(plan.add(sizes.bytes(sizes.hidden_size()))),
        normed(plan.add(sizes.bytes(sizes.size()))),
        d_normed(plan.add(sizes.bytes(sizes.size()))),
        sums(plan.add(column_sums_scratch(device, sizes.rows(), sizes.width) +
                      column_sums_scratch(device, sizes.rows(), sizes.hidden))),
        d_norm(plan.add(static_cast<std::int64_t>(
            layer_norm_gradient_scratch(device, sizes.rows(), sizes.width)))) {}
};

/// The gradients of fc2, and that of the preactivation.
void second_back(Device& device, const MlpBranchGradArguments& b, const ScratchPlan& plan,
                 const Pieces& at, const LinearWeight& fc2) {
  const MlpBranchSizes& sizes = b.sizes;
  ColumnSums sums{.x = b.dy, .rows = sizes.rows(), .columns = sizes.width, .factors = b.factors,
                  .rows_per_factor = sizes.tokens, .y_type = sizes.type};
  const bool copied = b.factors != nullptr || sizes.bfloat16();
  if (copied) {
    sums.y = plan.at(at.gradient);
    column_sums(device, sums, b.d_fc2_bias, plan.at(at.sums));
  }
  const void* const gradient = copied ? sums.y : b.dy;
  MatmulDescription back = linear_input_gradient(fc2, sizes.rows(), sizes.type, sizes.type);
  back.epilogue.activation = MatmulActivation::kGeluSlope;
  back.epilogue.preactivation = b.preactivation;
  back.epilogue.preactivation_type = sizes.type;
  back.epilogue.activated = plan.at(at.hidden);
  matmul(device, back, gradient, fc2.data, plan.at(at.d_preactivation),
         {.of_c = b.d_fc1_bias, .scratch = plan.at(at.sums)});
  matmul(device, linear_weight_gradient(fc2, sizes.rows(), sizes.type), gradient,
         plan.at(at.hidden), b.d_fc2,
         {.of_a = copied ? nullptr : b.d_fc2_bias, .scratch = plan.at(at.sums)});
}

void run_backward(Device& device, const MlpBranchGradArguments& b) {
  const MlpBranchSizes& sizes = b.sizes;
  ScratchPlan plan;
  const TypedCopies copies(plan, sizes.type);
  const Pieces at(plan, device, sizes);
  if (!plan.take(device)) return;
  const LinearWeight fc2{copies.weight(device, b.fc2, sizes.weight_size()), sizes.width,
                         sizes.hidden, sizes.type};
  second_back(device, b, plan, at, fc2);

  const void* const d_preactivation = plan.at(at.d_preactivation);
  const LinearWeight fc1{copies.weight(device, b.fc1, sizes.weight_size()), sizes.hidden,
                         sizes.width, sizes.type};
  matmul(device, linear_input_gradient(fc1, sizes.rows(), sizes.type, sizes.type), d_preactivation,
         fc1.data, plan.at(at.d_normed));
  layer_norm_gradient(device, b.norm,
                      {.dy = plan.at(at.d_normed), .mean = b.mean, .rstd = b.rstd,
                       .residual = b.dy, .dx = b.dx, .y = plan.at(at.normed),
                       .bfloat16 = sizes.bfloat16(), .d_weight = b.d_norm_weight,
                       .d_bias = b.d_norm_bias},
                      plan.at(at.d_norm));
  matmul(device, linear_weight_gradient(fc1, sizes.rows(), sizes.type), d_preactivation,
         plan.at(at.normed), b.d_fc1);
}

Status backward(Device& device, const OpArguments& arguments) {
  const MlpBranchGradArguments b(arguments);
  if (!b.in.ok()) return b.in.status();
  run_backward(device, b);
  return {};
}

}  // namespace

void register_mlp_branch(DeviceOpTable& table) {
  table.add("DmMlpBranch", forward);
  table.add("DmMlpBranchGrad", backward);
}

}  // namespace dm::cuda
