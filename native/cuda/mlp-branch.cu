// SPDX-License-Identifier: Apache-2.0
// x + factor * fc2(gelu(fc1(layerNorm(x)))) and its gradient on a device: buffers and numbers as in cpu/mlp-branch.cc. Saved: mean and rstd,
// and the preactivation of fc1, in bfloat16 when the products are; GELU and the normalized rows are computed again, GELU with its slope.
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"
#include "cuda/layer-norm.h"

namespace dm::cuda {

namespace {

struct Sizes {
  std::int64_t batch, tokens, width, hidden;
  float epsilon;
  MatrixType type;

  explicit Sizes(Arguments& in)
      : batch(in.count(0)),
        tokens(in.count(1)),
        width(in.count(2)),
        hidden(in.count(3)),
        epsilon(static_cast<float>(in.number(4))),
        type(in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32) {
    // Every size below is a part of one of these.
    in.elements({batch, tokens, width, sizeof(float)});
    in.elements({batch, tokens, hidden, sizeof(float)});
    in.elements({hidden, width, sizeof(float)});
  }

  std::int64_t rows() const { return batch * tokens; }
  std::int64_t size() const { return rows() * width; }
  std::int64_t hidden_size() const { return rows() * hidden; }
  std::int64_t weight_size() const { return hidden * width; }
  std::int64_t bytes(std::int64_t elements) const { return elements * bytes_of(type); }
  bool bfloat16() const { return type == MatrixType::kBFloat16; }
};

const float* factors_at(Arguments& in, std::size_t index, std::int64_t batch, bool scaled) {
  return scaled ? in.buffer<const float>(index, batch) : nullptr;
}

struct Forward {
  LayerNormRows norm;
  const float *fc1, *fc1_bias, *fc2, *fc2_bias, *factors;
  float *y, *mean, *rstd;
  std::byte* preactivation;
};

void run_forward(Device& device, const Sizes& sizes, const Forward& f) {
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

// buffers: x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias, branchScale; y, mean, rstd, preactivation.
// numbers: [batch, tokens, width, hidden, epsilon, bfloat16, scaled]. preactivation: [batch, tokens, hidden] of float32, or of
// bfloat16 with bfloat16; branchScale is not read unless scaled.
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmMlpBranch", arguments, 12, 7);
  const Sizes sizes(in);
  const Forward f{.norm = {.x = in.buffer<const float>(0, sizes.size()),
                           .weight = in.buffer<const float>(1, sizes.width),
                           .bias = in.buffer<const float>(2, sizes.width),
                           .rows = sizes.rows(),
                           .width = sizes.width,
                           .epsilon = sizes.epsilon},
                  .fc1 = in.buffer<const float>(3, sizes.weight_size()),
                  .fc1_bias = in.buffer<const float>(4, sizes.hidden),
                  .fc2 = in.buffer<const float>(5, sizes.weight_size()),
                  .fc2_bias = in.buffer<const float>(6, sizes.width),
                  .factors = factors_at(in, 7, sizes.batch, in.flag(6)),
                  .y = in.buffer<float>(8, sizes.size()),
                  .mean = in.buffer<float>(9, sizes.rows()),
                  .rstd = in.buffer<float>(10, sizes.rows()),
                  .preactivation = in.buffer<std::byte>(11, sizes.bytes(sizes.hidden_size()))};
  if (!in.ok()) return in.status();
  run_forward(device, sizes, f);
  return {};
}

struct Backward {
  const float* dy;
  LayerNormRows norm;
  const float *fc1, *fc2, *factors, *mean, *rstd;
  std::byte* preactivation;  ///< only read
  float *dx, *d_norm_weight, *d_norm_bias, *d_fc1, *d_fc1_bias, *d_fc2, *d_fc2_bias;
};

/// Where the pieces of the scratch are.
struct Pieces {
  std::size_t gradient, hidden, d_preactivation, normed, d_normed, sums, d_norm;

  Pieces(ScratchPlan& plan, const Device& device, const Sizes& sizes)
      : gradient(plan.add(sizes.bytes(sizes.size()))),
        hidden(plan.add(sizes.bytes(sizes.hidden_size()))),
        d_preactivation(plan.add(sizes.bytes(sizes.hidden_size()))),
        normed(plan.add(sizes.bytes(sizes.size()))),
        d_normed(plan.add(sizes.size() * bytes_of(MatrixType::kFloat32))),
        sums(plan.add(column_sums_scratch(device, sizes.rows(), sizes.width) +
                      column_sums_scratch(device, sizes.rows(), sizes.hidden))),
        d_norm(plan.add(static_cast<std::int64_t>(
            layer_norm_gradient_scratch(device, sizes.rows(), sizes.width)))) {}
};

/// The gradients of fc2, and that of the preactivation.
void second_back(Device& device, const Sizes& sizes, const Backward& b, const ScratchPlan& plan,
                 const Pieces& at, const LinearWeight& fc2) {
  ColumnSums sums{.x = b.dy, .rows = sizes.rows(), .columns = sizes.width, .factors = b.factors,
                  .rows_per_factor = sizes.tokens, .y_type = sizes.type};
  const bool copied = b.factors != nullptr || sizes.bfloat16();
  if (copied) sums.y = plan.at(at.gradient);
  column_sums(device, sums, b.d_fc2_bias, plan.at(at.sums));
  const void* const gradient = copied ? sums.y : b.dy;
  MatmulDescription back = linear_input_gradient(fc2, sizes.rows(), sizes.type, sizes.type);
  back.epilogue.activation = MatmulActivation::kGeluSlope;
  back.epilogue.preactivation = b.preactivation;
  back.epilogue.preactivation_type = sizes.type;
  back.epilogue.activated = plan.at(at.hidden);
  matmul(device, back, gradient, fc2.data, plan.at(at.d_preactivation));
  matmul(device, linear_weight_gradient(fc2, sizes.rows(), sizes.type), gradient,
         plan.at(at.hidden), b.d_fc2);
}

void run_backward(Device& device, const Sizes& sizes, const Backward& b) {
  ScratchPlan plan;
  const TypedCopies copies(plan, sizes.type);
  const Pieces at(plan, device, sizes);
  if (!plan.take(device)) return;
  const LinearWeight fc2{copies.weight(device, b.fc2, sizes.weight_size()), sizes.width,
                         sizes.hidden, sizes.type};
  second_back(device, sizes, b, plan, at, fc2);

  const void* const d_preactivation = plan.at(at.d_preactivation);
  column_sums(device,
              {.x = d_preactivation, .type = sizes.type, .rows = sizes.rows(), .columns = sizes.hidden},
              b.d_fc1_bias, plan.at(at.sums));
  layer_norm_rows_again(device, b.norm, b.mean, b.rstd, plan.at(at.normed), sizes.bfloat16());
  const LinearWeight fc1{copies.weight(device, b.fc1, sizes.weight_size()), sizes.hidden,
                         sizes.width, sizes.type};
  matmul(device, linear_weight_gradient(fc1, sizes.rows(), sizes.type), d_preactivation,
         plan.at(at.normed), b.d_fc1);
  auto* const d_normed = static_cast<float*>(plan.at(at.d_normed));
  matmul(device, linear_input_gradient(fc1, sizes.rows(), sizes.type, MatrixType::kFloat32),
         d_preactivation, fc1.data, d_normed);
  layer_norm_gradient(device, b.norm,
                      {.dy = d_normed, .mean = b.mean, .rstd = b.rstd, .residual = b.dy, .dx = b.dx,
                       .d_weight = b.d_norm_weight, .d_bias = b.d_norm_bias},
                      plan.at(at.d_norm));
}

// buffers: dy, x, normWeight, normBias, fc1Weight, fc2Weight, branchScale, mean, rstd, preactivation; dx, dNormWeight, dNormBias,
// dFc1Weight, dFc1Bias, dFc2Weight, dFc2Bias. numbers: as DmMlpBranch.
Status backward(Device& device, const OpArguments& arguments) {
  Arguments in("DmMlpBranchGrad", arguments, 17, 7);
  const Sizes sizes(in);
  const Backward b{.dy = in.buffer<const float>(0, sizes.size()),
                   .norm = {.x = in.buffer<const float>(1, sizes.size()),
                            .weight = in.buffer<const float>(2, sizes.width),
                            .bias = in.buffer<const float>(3, sizes.width),
                            .rows = sizes.rows(),
                            .width = sizes.width},
                   .fc1 = in.buffer<const float>(4, sizes.weight_size()),
                   .fc2 = in.buffer<const float>(5, sizes.weight_size()),
                   .factors = factors_at(in, 6, sizes.batch, in.flag(6)),
                   .mean = in.buffer<const float>(7, sizes.rows()),
                   .rstd = in.buffer<const float>(8, sizes.rows()),
                   .preactivation = in.buffer<std::byte>(9, sizes.bytes(sizes.hidden_size())),
                   .dx = in.buffer<float>(10, sizes.size()),
                   .d_norm_weight = in.buffer<float>(11, sizes.width),
                   .d_norm_bias = in.buffer<float>(12, sizes.width),
                   .d_fc1 = in.buffer<float>(13, sizes.weight_size()),
                   .d_fc1_bias = in.buffer<float>(14, sizes.hidden),
                   .d_fc2 = in.buffer<float>(15, sizes.weight_size()),
                   .d_fc2_bias = in.buffer<float>(16, sizes.width)};
  if (!in.ok()) return in.status();
  run_backward(device, sizes, b);
  return {};
}

}  // namespace

void register_mlp_branch(DeviceOpTable& table) {
  table.add("DmMlpBranch", forward);
  table.add("DmMlpBranchGrad", backward);
}

}  // namespace dm::cuda
