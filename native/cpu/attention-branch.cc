// SPDX-License-Identifier: Apache-2.0
// x + factor * proj(attention(projections(layerNorm(x)))) and its gradient: self, in windows, or across to a context.
#include "core/attention-branch-arguments.h"
#include "core/linear-products.h"
#include "cpu/attention-core.h"
#include "cpu/branch-rows.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

/// Where queries, keys and values are in the projections.
struct Projections {
  TokenMatrix query, key, value;

  Projections(const AttentionBranchSizes& sizes, const void* own, const void* of_context)
      : query(read_only(own, sizes.projected(), sizes.bfloat16())),
        key(sizes.cross ? read_only(of_context, sizes.kv_width(), sizes.bfloat16())
                        : columns_from(query, sizes.width)),
        value(columns_from(key, sizes.width)) {}
};

/// The context as the products read it.
class ContextRows {
 public:
  ContextRows(const AttentionBranchSizes& sizes, const float* context)
      : data_(context),
        rounded_(sizes.bfloat16() ? sizes.context_size() : 0) {
    if (rounded_.data() == nullptr) return;
    to_bfloat16(context, rounded_.data(), sizes.context_size());
    data_ = rounded_.data();
  }
  const void* data() const { return data_; }

 private:
  const void* data_;
  Scratch<std::uint16_t> rounded_;
};

AttentionShape shape_of(const AttentionBranchSizes& sizes, const WindowPlan& windows,
                        const float* table) {
  return {sizes.batch, sizes.tokens, sizes.keys(), sizes.heads, sizes.head_width(), &windows, table};
}

/// y = x Wᵀ + bias, rows of the type of the products.
Status project(const LinearWeight& weight, const float* bias, std::int64_t rows, MatrixType type,
               const void* x, void* y) {
  MatmulDescription product = linear_product(weight, rows, type, type);
  product.epilogue.bias = bias;
  return matmul(product, x, weight.data, y);
}

Status attention_branch(const OpArguments& arguments) {
  const AttentionBranchArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const AttentionBranchSizes& sizes = a.sizes;
  const WindowPlan windows(sizes.windows);
  Status status;
  {
    const Scratch<std::byte> normed(sizes.bytes(sizes.size()));
    normalize_rows(a.norm, normed.data(), sizes.type, a.mean, a.rstd);
    status = project({a.q, sizes.projected(), sizes.width}, a.q_bias, sizes.rows(), sizes.type,
                     normed.data(), a.projected);
    if (!status.ok()) return status;
  }
  if (sizes.cross) {
    const ContextRows rows(sizes, a.context);
    status = project({a.kv, sizes.kv_width(), sizes.width}, a.kv_bias, sizes.context_rows(),
                     sizes.type, rows.data(), a.projected_context);
    if (!status.ok()) return status;
  }
  const Projections parts(sizes, a.projected, a.projected_context);
  status = attention_forward(shape_of(sizes, windows, a.table), parts.query, parts.key, parts.value,
                             {a.attended, sizes.width, sizes.bfloat16()}, a.log_sums);
  if (!status.ok()) return status;
  const LinearWeight proj{a.proj, sizes.width, sizes.width};
  MatmulDescription last = linear_product(proj, sizes.rows(), sizes.type, MatrixType::kFloat32);
  last.epilogue.bias = a.proj_bias;
  last.epilogue.row_scale = a.factors;
  last.epilogue.rows_per_scale = sizes.tokens;
  last.epilogue.residual = a.norm.x;
  return matmul(last, a.attended, proj.data, a.y);
}

/// From the gradient of the sum to those of the projections, and of proj.
Status attend_back(const AttentionBranchGradArguments& a, std::byte* d_projected,
                   std::byte* d_projected_context) {
  const AttentionBranchSizes& sizes = a.sizes;
  const std::int64_t rows = sizes.rows();
  const LinearWeight proj{a.proj, sizes.width, sizes.width};
  const BranchGradient gradient(a.dy, a.factors, sizes.batch, sizes.tokens * sizes.width,
                                sizes.type);
  gradient.column_sums_to(a.d_proj_bias, rows, sizes.width);
  Status status = matmul(linear_weight_gradient(proj, rows, sizes.type), gradient.data(),
                         a.attended, a.d_proj);
  if (!status.ok()) return status;
  const Scratch<std::byte> d_attended(sizes.bytes(sizes.size()));
  status = matmul(linear_input_gradient(proj, rows, sizes.type, sizes.type), gradient.data(),
                  proj.data, d_attended.data());
  if (!status.ok()) return status;
  const WindowPlan windows(sizes.windows);
  const Projections parts(sizes, a.projected, a.projected_context);
  const Projections gradients(sizes, d_projected, d_projected_context);
  return attention_backward(shape_of(sizes, windows, a.table), parts.query, parts.key, parts.value,
                            {a.attended, sizes.width, sizes.bfloat16()},
                            {d_attended.data(), sizes.width, sizes.bfloat16()}, a.log_sums,
                            {gradients.query, gradients.key, gradients.value, a.d_table});
}

/// Gradients of the projection of the context.
Status context_back(const AttentionBranchGradArguments& a, const std::byte* d_projected) {
  const AttentionBranchSizes& sizes = a.sizes;
  const std::int64_t rows = sizes.context_rows();
  const LinearWeight kv{a.kv, sizes.kv_width(), sizes.width};
  column_sums(d_projected, sizes.type, rows, sizes.kv_width(), a.d_kv_bias);
  const ContextRows context(sizes, a.context);
  Status status = matmul(linear_weight_gradient(kv, rows, sizes.type), d_projected, context.data(),
                         a.d_kv);
  if (!status.ok()) return status;
  return matmul(linear_input_gradient(kv, rows, sizes.type, MatrixType::kFloat32), d_projected,
                kv.data, a.d_context);
}

Status attention_branch_grad(const OpArguments& arguments) {
  const AttentionBranchGradArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const AttentionBranchSizes& sizes = a.sizes;
  const std::int64_t rows = sizes.rows();
  const LinearWeight q{a.q, sizes.projected(), sizes.width};
  const Scratch<std::byte> d_projected(sizes.bytes(rows * sizes.projected()));
  const Scratch<std::byte> d_projected_context(
      sizes.bytes(sizes.context_rows() * sizes.kv_width()));
  Status status = attend_back(a, d_projected.data(), d_projected_context.data());
  if (!status.ok()) return status;
  if (sizes.cross) {
    status = context_back(a, d_projected_context.data());
    if (!status.ok()) return status;
  }
  column_sums(d_projected.data(), sizes.type, rows, sizes.projected(), a.d_q_bias);
  {
    const Scratch<std::byte> normed(sizes.bytes(sizes.size()));
    normalize_rows_again(a.norm, a.mean, a.rstd, normed.data(), sizes.type);
    status = matmul(linear_weight_gradient(q, rows, sizes.type), d_projected.data(), normed.data(),
                    a.d_q);
    if (!status.ok()) return status;
  }
  const Scratch<float> d_normed(sizes.size());
  status = matmul(linear_input_gradient(q, rows, sizes.type, MatrixType::kFloat32),
                  d_projected.data(), q.data, d_normed.data());
  if (!status.ok()) return status;
  normalize_rows_gradient(a.norm, d_normed.data(), a.mean, a.rstd, a.dy, a.dx, a.d_norm_weight,
                          a.d_norm_bias);
  return {};
}

}  // namespace

void register_attention_branch(OpTable& table) {
  table.add("DmAttentionBranch", attention_branch);
  table.add("DmAttentionBranchGrad", attention_branch_grad);
}

}  // namespace dm::cpu
