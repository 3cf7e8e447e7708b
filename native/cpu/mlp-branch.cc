// SPDX-License-Identifier: Apache-2.0
// x + factor * fc2(gelu(fc1(layerNorm(x)))) and its gradient. Saved: mean and rstd, and the preactivation of fc1, in bfloat16 when
// the products are; GELU and the normalized rows are computed again, GELU with its slope.
#include "cpu/branch-rows.h"
#include "cpu/families.h"
#include "core/linear-products.h"
#include "core/arguments.h"

namespace dm::cpu {

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
  std::int64_t bytes(std::int64_t elements) const {
    return elements * bytes_of(type);
  }
};

LinearWeight weight_at(Arguments& in, std::size_t index, std::int64_t out, std::int64_t width) {
  return {in.buffer<const float>(index, out * width), out, width};
}

/// Factors of the samples, or null.
const float* factors_at(Arguments& in, std::size_t index, std::int64_t batch, bool scaled) {
  return scaled ? in.buffer<const float>(index, batch) : nullptr;
}

// buffers: x, normWeight, normBias, fc1Weight, fc1Bias, fc2Weight, fc2Bias, branchScale; y, mean, rstd, preactivation.
// numbers: [batch, tokens, width, hidden, epsilon, bfloat16, scaled]. preactivation: [batch, tokens, hidden] of float32, or of
// bfloat16 with bfloat16; branchScale is not read unless scaled.
Status mlp_branch(const OpArguments& arguments) {
  Arguments in("DmMlpBranch", arguments, 12, 7);
  const Sizes sizes(in);
  const std::int64_t rows = sizes.rows();
  BranchNorm norm{in.buffer<const float>(0, rows * sizes.width),
                  in.buffer<const float>(1, sizes.width),
                  in.buffer<const float>(2, sizes.width),
                  rows,
                  sizes.width,
                  sizes.epsilon};
  const LinearWeight fc1 = weight_at(in, 3, sizes.hidden, sizes.width);
  const float* fc1_bias = in.buffer<const float>(4, sizes.hidden);
  const LinearWeight fc2 = weight_at(in, 5, sizes.width, sizes.hidden);
  const float* fc2_bias = in.buffer<const float>(6, sizes.width);
  const float* factors = factors_at(in, 7, sizes.batch, in.flag(6));
  float* y = in.buffer<float>(8, rows * sizes.width);
  float* mean = in.buffer<float>(9, rows);
  float* rstd = in.buffer<float>(10, rows);
  std::byte* preactivation = in.buffer<std::byte>(11, sizes.bytes(rows * sizes.hidden));
  if (!in.ok()) return in.status();
  const Scratch<std::byte> normed(sizes.bytes(rows * sizes.width));
  const Scratch<std::byte> hidden(sizes.bytes(rows * sizes.hidden));
  normalize_rows(norm, normed.data(), sizes.type, mean, rstd);
  MatmulDescription first = linear_product(fc1, rows, sizes.type, sizes.type);
  first.epilogue.bias = fc1_bias;
  first.epilogue.activation = MatmulActivation::kGelu;
  first.epilogue.preactivation = preactivation;
  first.epilogue.preactivation_type = sizes.type;
  const Status status = matmul(first, normed.data(), fc1.data, hidden.data());
  if (!status.ok()) return status;
  MatmulDescription second = linear_product(fc2, rows, sizes.type, MatrixType::kFloat32);
  second.epilogue.bias = fc2_bias;
  second.epilogue.row_scale = factors;
  second.epilogue.rows_per_scale = sizes.tokens;
  second.epilogue.residual = norm.x;
  return matmul(second, hidden.data(), fc2.data, y);
}

// buffers: dy, x, normWeight, normBias, fc1Weight, fc2Weight, branchScale, mean, rstd, preactivation; dx, dNormWeight, dNormBias,
// dFc1Weight, dFc1Bias, dFc2Weight, dFc2Bias. numbers: as DmMlpBranch.
Status mlp_branch_grad(const OpArguments& arguments) {
  Arguments in("DmMlpBranchGrad", arguments, 17, 7);
  const Sizes sizes(in);
  const std::int64_t rows = sizes.rows();
  const float* dy = in.buffer<const float>(0, rows * sizes.width);
  const BranchNorm norm{in.buffer<const float>(1, rows * sizes.width),
                        in.buffer<const float>(2, sizes.width),
                        in.buffer<const float>(3, sizes.width),
                        rows,
                        sizes.width,
                        sizes.epsilon};
  const LinearWeight fc1 = weight_at(in, 4, sizes.hidden, sizes.width);
  const LinearWeight fc2 = weight_at(in, 5, sizes.width, sizes.hidden);
  const float* factors = factors_at(in, 6, sizes.batch, in.flag(6));
  const float* mean = in.buffer<const float>(7, rows);
  const float* rstd = in.buffer<const float>(8, rows);
  const std::byte* saved = in.buffer<const std::byte>(9, sizes.bytes(rows * sizes.hidden));
  float* dx = in.buffer<float>(10, rows * sizes.width);
  float* d_norm_weight = in.buffer<float>(11, sizes.width);
  float* d_norm_bias = in.buffer<float>(12, sizes.width);
  float* d_fc1_weight = in.buffer<float>(13, sizes.hidden * sizes.width);
  float* d_fc1_bias = in.buffer<float>(14, sizes.hidden);
  float* d_fc2_weight = in.buffer<float>(15, sizes.hidden * sizes.width);
  float* d_fc2_bias = in.buffer<float>(16, sizes.width);
  if (!in.ok()) return in.status();

  const BranchGradient gradient(dy, factors, sizes.batch, sizes.tokens * sizes.width, sizes.type);
  gradient.column_sums_to(d_fc2_bias, rows, sizes.width);
  const Scratch<std::byte> d_preactivation(sizes.bytes(rows * sizes.hidden));
  MatmulDescription back = linear_input_gradient(fc2, rows, sizes.type, sizes.type);
  if (rows > 0) back.epilogue.activation = MatmulActivation::kGeluSlope;
  back.epilogue.preactivation = const_cast<std::byte*>(saved);  // only read with the slope
  back.epilogue.preactivation_type = sizes.type;
  Scratch<std::byte> hidden(sizes.bytes(rows * sizes.hidden));
  back.epilogue.activated = hidden.data();
  Status status = matmul(back, gradient.data(), fc2.data, d_preactivation.data());
  if (!status.ok()) return status;
  status = matmul(linear_weight_gradient(fc2, rows, sizes.type), gradient.data(), hidden.data(),
                  d_fc2_weight);
  if (!status.ok()) return status;
  {
    const Scratch<std::byte> normed(sizes.bytes(rows * sizes.width));
    normalize_rows_again(norm, mean, rstd, normed.data(), sizes.type);
    status = matmul(linear_weight_gradient(fc1, rows, sizes.type), d_preactivation.data(),
                    normed.data(), d_fc1_weight);
    if (!status.ok()) return status;
  }
  column_sums(d_preactivation.data(), sizes.type, rows, sizes.hidden, d_fc1_bias);
  const Scratch<float> d_normed(rows * sizes.width);
  status = matmul(linear_input_gradient(fc1, rows, sizes.type, MatrixType::kFloat32),
                  d_preactivation.data(), fc1.data, d_normed.data());
  if (!status.ok()) return status;
  normalize_rows_gradient(norm, d_normed.data(), mean, rstd, dy, dx, d_norm_weight, d_norm_bias);
  return {};
}

}  // namespace

void register_mlp_branch(OpTable& table) {
  table.add("DmMlpBranch", mlp_branch);
  table.add("DmMlpBranchGrad", mlp_branch_grad);
}

}  // namespace dm::cpu
