// SPDX-License-Identifier: Apache-2.0
// x + factor * fc2(gelu(fc1(layerNorm(x)))) and its gradient. GELU and the normalized rows are computed again, GELU with its slope.
#include "core/linear-products.h"
#include "core/mlp-branch-arguments.h"
#include "cpu/branch-rows.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

Status mlp_branch(const OpArguments& arguments) {
  const MlpBranchArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const MlpBranchSizes& sizes = a.sizes;
  const std::int64_t rows = sizes.rows();
  const LinearWeight fc1{a.fc1, sizes.hidden, sizes.width};
  const LinearWeight fc2{a.fc2, sizes.width, sizes.hidden};
  const Scratch<std::byte> normed(sizes.bytes(sizes.size()));
  const Scratch<std::byte> hidden(sizes.bytes(sizes.hidden_size()));
  normalize_rows(a.norm, normed.data(), sizes.type, a.mean, a.rstd);
  MatmulDescription first = linear_product(fc1, rows, sizes.type, sizes.type);
  first.epilogue.bias = a.fc1_bias;
  first.epilogue.activation = MatmulActivation::kGelu;
  first.epilogue.preactivation = a.preactivation;
  first.epilogue.preactivation_type = sizes.type;
  const Status status = matmul(first, normed.data(), fc1.data, hidden.data());
  if (!status.ok()) return status;
  MatmulDescription second = linear_product(fc2, rows, sizes.type, MatrixType::kFloat32);
  second.epilogue.bias = a.fc2_bias;
  second.epilogue.row_scale = a.factors;
  second.epilogue.rows_per_scale = sizes.tokens;
  second.epilogue.residual = a.norm.x;
  return matmul(second, hidden.data(), fc2.data, a.y);
}

Status mlp_branch_grad(const OpArguments& arguments) {
  const MlpBranchGradArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const MlpBranchSizes& sizes = a.sizes;
  const std::int64_t rows = sizes.rows();
  const LinearWeight fc1{a.fc1, sizes.hidden, sizes.width};
  const LinearWeight fc2{a.fc2, sizes.width, sizes.hidden};
  const BranchGradient gradient(a.dy, a.factors, sizes.batch, sizes.tokens * sizes.width,
                                sizes.type);
  gradient.column_sums_to(a.d_fc2_bias, rows, sizes.width);
  const Scratch<std::byte> d_preactivation(sizes.bytes(sizes.hidden_size()));
  MatmulDescription back = linear_input_gradient(fc2, rows, sizes.type, sizes.type);
  if (rows > 0) back.epilogue.activation = MatmulActivation::kGeluSlope;
  back.epilogue.preactivation = a.preactivation;
  back.epilogue.preactivation_type = sizes.type;
  Scratch<std::byte> hidden(sizes.bytes(sizes.hidden_size()));
  back.epilogue.activated = hidden.data();
  Status status = matmul(back, gradient.data(), fc2.data, d_preactivation.data());
  if (!status.ok()) return status;
  status = matmul(linear_weight_gradient(fc2, rows, sizes.type), gradient.data(), hidden.data(),
                  a.d_fc2);
  if (!status.ok()) return status;
  {
    const Scratch<std::byte> normed(sizes.bytes(sizes.size()));
    normalize_rows_again(a.norm, a.mean, a.rstd, normed.data(), sizes.type);
    status = matmul(linear_weight_gradient(fc1, rows, sizes.type), d_preactivation.data(),
                    normed.data(), a.d_fc1);
    if (!status.ok()) return status;
  }
  column_sums(d_preactivation.data(), sizes.type, rows, sizes.hidden, a.d_fc1_bias);
  const Scratch<float> d_normed(sizes.size());
  status = matmul(linear_input_gradient(fc1, rows, sizes.type, MatrixType::kFloat32),
                  d_preactivation.data(), fc1.data, d_normed.data());
  if (!status.ok()) return status;
  normalize_rows_gradient(a.norm, d_normed.data(), a.mean, a.rstd, a.dy, a.dx, a.d_norm_weight,
                          a.d_norm_bias);
  return {};
}

}  // namespace

void register_mlp_branch(OpTable& table) {
  table.add("DmMlpBranch", mlp_branch);
  table.add("DmMlpBranchGrad", mlp_branch_grad);
}

}  // namespace dm::cpu
