// SPDX-License-Identifier: Apache-2.0
// x + factor * proj(attention(projections(layerNorm(x)))) and its gradient on a device: self, in windows, or across to a context.
//
// Passes over memory besides the products. Forward: the norm (x to rows of the products' type) and attention; bias, factor and x are added by the
// last product. Backward: the factor, the rounding and the column sums of dy in one; attention; the column sums of the projections' gradients; and
// the norm's gradient, which adds dy and writes the normalized rows that the weight's gradient multiplies.
#include <cstddef>
#include <cstdint>

#include "core/attention-branch-arguments.h"
#include "cuda/attention.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"
#include "cuda/layer-norm.h"

namespace dm::cuda {

namespace {

AttentionShape shape_of(const AttentionBranchSizes& sizes, const float* table) {
  return {sizes.batch, sizes.tokens, sizes.keys(), sizes.heads, sizes.head_width(), sizes.windows, table, sizes.bfloat16()};
}

/// Where queries, keys and values are in the projections.
struct Projections {
  TokenMatrix query, key, value;

  Projections(const AttentionBranchSizes& sizes, void* own, void* of_context) {
    const auto columns_from = [&](const TokenMatrix& matrix, std::int64_t first) -> TokenMatrix {
      return {static_cast<std::byte*>(matrix.data) + sizes.bytes(first), matrix.stride};
    };
    query = {own, sizes.projected()};
    key = sizes.cross ? TokenMatrix{of_context, 2 * sizes.width} : columns_from(query, sizes.width);
    value = columns_from(key, sizes.width);
  }
};

LinearWeight weight_of(Device& device, const TypedCopies& copies, const float* data,
                       std::int64_t out, std::int64_t width) {
  return {copies.weight(device, data, out * width), out, width, copies.type()};
}

/// y = x Wᵀ + bias, rows of the type of the products.
void project(Device& device, const LinearWeight& weight, const float* bias, std::int64_t rows,
             MatrixType type, const void* x, void* y) {
  MatmulDescription product = linear_product(weight, rows, type, type);
  product.epilogue.bias = bias;
  matmul(device, product, x, weight.data, y);
}

Status run_forward(Device& device, const AttentionBranchArguments& f) {
  const AttentionBranchSizes& sizes = f.sizes;
  ScratchPlan plan;
  TypedCopies copies(plan, sizes.type);
  const std::size_t context = copies.add(sizes.context_size());
  const std::size_t normed = plan.add(sizes.bytes(sizes.size()));
  if (!plan.take(device)) return {};
  layer_norm_rows(device, f.norm, plan.at(normed), sizes.bfloat16(), f.mean, f.rstd);
  project(device, weight_of(device, copies, f.q, sizes.projected(), sizes.width), f.q_bias,
          sizes.rows(), sizes.type, plan.at(normed), f.projected);
  if (sizes.cross) {
    project(device, weight_of(device, copies, f.kv, sizes.kv_width(), sizes.width),
            f.kv_bias, sizes.context_rows(), sizes.type,
            copies.make(device, context, f.context, sizes.context_size()), f.projected_context);
  }
  const Projections parts(sizes, f.projected, f.projected_context);
  const Status status = attention_forward(device, shape_of(sizes, f.table), parts.query, parts.key,
                                          parts.value, {f.attended, sizes.width}, f.log_sums);
  if (!status.ok()) return status;
  const LinearWeight proj = weight_of(device, copies, f.proj, sizes.width, sizes.width);
  MatmulDescription last = linear_product(proj, sizes.rows(), sizes.type, MatrixType::kFloat32);
  last.epilogue.bias = f.proj_bias;
  last.epilogue.row_scale = f.factors;
  last.epilogue.rows_per_scale = sizes.tokens;
  last.epilogue.residual = f.norm.x;
  matmul(device, last, f.attended, proj.data, f.y);
  return {};
}

Status forward(Device& device, const OpArguments& arguments) {
  const AttentionBranchArguments f(arguments);
  if (!f.in.ok()) return f.in.status();
  return run_forward(device, f);
}

/// The gradient pass with its scratch.
class BackwardRun {
 public:
  BackwardRun(Device& device, const AttentionBranchGradArguments& b)
      : device_(device),
        sizes_(b.sizes),
        b_(b),
        shape_(shape_of(b.sizes, b.table)),
        copies_(plan_, sizes_.type),
        context_(copies_.add(sizes_.context_size())),
        gradient_(plan_.add(sizes_.bytes(sizes_.size()))),
        d_attended_(plan_.add(sizes_.bytes(sizes_.size()))),
        d_projected_(plan_.add(sizes_.bytes(sizes_.rows() * sizes_.projected()))),
        d_projected_context_(plan_.add(sizes_.bytes(sizes_.context_rows() * sizes_.kv_width()))),
        normed_(plan_.add(sizes_.bytes(sizes_.size()))),
        d_normed_(plan_.add(sizes_.bytes(sizes_.size()))),
        sums_(plan_.add(column_sums_scratch(device, sizes_.rows(), sizes_.width) +
                        column_sums_scratch(device, sizes_.rows(), sizes_.projected()) +
                        column_sums_scratch(device, sizes_.context_rows(), sizes_.kv_width()))),
        d_norm_(plan_.add(static_cast<std::int64_t>(
            layer_norm_gradient_scratch(device, sizes_.rows(), sizes_.width)))),
        attention_(plan_.add(static_cast<std::int64_t>(attention_backward_scratch(shape_)))) {}

  Status run() {
    if (!plan_.take(device_)) return {};
    const Status status = attend_back();
    if (!status.ok()) return status;
    if (sizes_.cross) context_back();
    project_back();
    return {};
  }

 private:
  LinearWeight weight(const float* data, std::int64_t out) const {
    return weight_of(device_, copies_, data, out, sizes_.width);
  }

  /// From the gradient of the sum to those of the projections, and of proj.
  Status attend_back() {
    ColumnSums sums{.x = b_.dy, .rows = sizes_.rows(), .columns = sizes_.width,
                    .factors = b_.factors, .rows_per_factor = sizes_.tokens, .y_type = sizes_.type};
    const bool copied = b_.factors != nullptr || sizes_.bfloat16();
    if (copied) {
      sums.y = plan_.at(gradient_);
      column_sums(device_, sums, b_.d_proj_bias, plan_.at(sums_));
    }
    const void* const gradient = copied ? sums.y : b_.dy;
    const LinearWeight proj = weight(b_.proj, sizes_.width);
    matmul(device_, linear_weight_gradient(proj, sizes_.rows(), sizes_.type), gradient, b_.attended,
           b_.d_proj, {.of_a = copied ? nullptr : b_.d_proj_bias, .scratch = plan_.at(sums_)});
    matmul(device_, linear_input_gradient(proj, sizes_.rows(), sizes_.type, sizes_.type), gradient,
           proj.data, plan_.at(d_attended_));
    const Projections parts(sizes_, b_.projected, b_.projected_context);
    const Projections gradients(sizes_, plan_.at(d_projected_), plan_.at(d_projected_context_));
    return attention_backward(device_, shape_, parts.query, parts.key, parts.value,
                              {b_.attended, sizes_.width}, {plan_.at(d_attended_), sizes_.width},
                              b_.log_sums,
                              {gradients.query, gradients.key, gradients.value, b_.d_table},
                              plan_.at(attention_));
  }

  /// Gradients of the projection of the context.
  void context_back() {
    const void* const d_projected = plan_.at(d_projected_context_);
    const std::int64_t rows = sizes_.context_rows();
    const LinearWeight kv = weight(b_.kv, sizes_.kv_width());
    matmul(device_, linear_weight_gradient(kv, rows, sizes_.type), d_projected,
           copies_.make(device_, context_, b_.context, sizes_.context_size()), b_.d_kv,
           {.of_a = b_.d_kv_bias, .scratch = plan_.at(sums_)});
    matmul(device_, linear_input_gradient(kv, rows, sizes_.type, MatrixType::kFloat32), d_projected,
           kv.data, b_.d_context);
  }

  /// Gradients of the projection of x, of the norm and of x.
  void project_back() {
    const void* const d_projected = plan_.at(d_projected_);
    const std::int64_t rows = sizes_.rows();
    const LinearWeight q = weight(b_.q, sizes_.projected());
    matmul(device_, linear_input_gradient(q, rows, sizes_.type, sizes_.type), d_projected, q.data,
           plan_.at(d_normed_));
    layer_norm_gradient(device_, b_.norm,
                        {.dy = plan_.at(d_normed_), .mean = b_.mean, .rstd = b_.rstd,
                         .residual = b_.dy, .dx = b_.dx, .y = plan_.at(normed_),
                         .bfloat16 = sizes_.bfloat16(), .d_weight = b_.d_norm_weight,
                         .d_bias = b_.d_norm_bias},
                        plan_.at(d_norm_));
    matmul(device_, linear_weight_gradient(q, rows, sizes_.type), d_projected, plan_.at(normed_),
           b_.d_q, {.of_a = b_.d_q_bias, .scratch = plan_.at(sums_)});
  }

  Device& device_;
  const AttentionBranchSizes& sizes_;
  const AttentionBranchGradArguments& b_;
  AttentionShape shape_;
  ScratchPlan plan_;
  TypedCopies copies_;
  std::size_t context_, gradient_, d_attended_, d_projected_, d_projected_context_, normed_, d_normed_, sums_,
      d_norm_, attention_;
};

Status backward(Device& device, const OpArguments& arguments) {
  const AttentionBranchGradArguments b(arguments);
  if (!b.in.ok()) return b.in.status();
  return BackwardRun(device, b).run();
}

}  // namespace

void register_attention_branch(DeviceOpTable& table) {
  table.add("DmAttentionBranch", forward);
  table.add("DmAttentionBranchGrad", backward);
}

}  // namespace dm::cuda
