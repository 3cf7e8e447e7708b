// SPDX-License-Identifier: Apache-2.0
// x · weightᵀ + bias, optionally through GELU, and its gradient on a device.
#include <cstddef>
#include <cstdint>

#include "core/linear-arguments.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

LinearWeight weight_of(const LinearSizes& sizes, const void* data) {
  return {data, sizes.out_width, sizes.in_width, sizes.type};
}

Status forward(Device& device, const OpArguments& arguments) {
  const LinearArguments f(arguments);
  if (!f.in.ok()) return f.in.status();
  const LinearSizes& sizes = f.sizes;
  ScratchPlan plan;
  TypedCopies copies(plan, sizes.type);
  const std::size_t x_copy = copies.add(sizes.x);
  if (!plan.take(device)) return {};
  const LinearWeight weight = weight_of(sizes, copies.weight(device, f.weight, sizes.weight));
  MatmulDescription product =
      linear_product(weight, sizes.rows, sizes.type, MatrixType::kFloat32);
  product.epilogue.bias = f.bias;
  if (f.gelu) {
    product.epilogue.activation = MatmulActivation::kGelu;
    product.epilogue.preactivation = f.preactivation;
    product.epilogue.preactivation_type = sizes.type;
  }
  matmul(device, product, copies.make(device, x_copy, f.x, sizes.x), weight.data, f.y);
  return {};
}

/// The gradient before the activation, of the type of the products, in `own`; and its sums.
const void* through_gelu(Device& device, const LinearGradArguments& g, void* own, void* partials) {
  MatmulDescription d;
  d.m = g.sizes.rows;
  d.n = g.sizes.out_width;
  d.c = row_major(g.sizes.out_width, g.sizes.type);
  d.epilogue.activation = MatmulActivation::kGeluSlope;
  d.epilogue.preactivation = g.preactivation;
  d.epilogue.preactivation_type = g.sizes.type;
  apply_epilogue(device, d, g.dy, MatrixType::kFloat32, own,
                 {.of_c = g.d_bias, .scratch = partials});
  return own;
}

Status backward(Device& device, const OpArguments& arguments) {
  const LinearGradArguments g(arguments);
  if (!g.in.ok()) return g.in.status();
  const LinearSizes& sizes = g.sizes;
  const bool half = sizes.type == MatrixType::kBFloat16;
  ScratchPlan plan;
  TypedCopies copies(plan, sizes.type);
  const std::size_t x_copy = copies.add(sizes.x);
  const std::size_t own = plan.add(half || g.gelu ? sizes.y_bytes() : 0);
  const std::size_t partials =
      plan.add(g.d_bias == nullptr ? 0 : column_sums_scratch(device, sizes.rows, sizes.out_width));
  if (!plan.take(device)) return {};

  MatmulSums sums{.of_a = g.d_bias, .scratch = plan.at(partials)};
  const void* upstream = g.dy;
  if (g.gelu) {
    upstream = through_gelu(device, g, plan.at(own), plan.at(partials));
    sums = {};
  } else if (half && g.d_bias != nullptr) {
    upstream = plan.at(own);
    column_sums(device,
                {.x = g.dy, .rows = sizes.rows, .columns = sizes.out_width, .y = plan.at(own),
                 .y_type = sizes.type},
                g.d_bias, plan.at(partials));
    sums = {};
  } else if (half) {
    upstream = plan.at(own);
    round_to_bf16(device, g.dy, plan.at(own), sizes.y);
  }
  matmul(device, linear_weight_gradient(weight_of(sizes, nullptr), sizes.rows, sizes.type),
         upstream, copies.make(device, x_copy, g.x, sizes.x), g.d_weight, sums);
  if (g.dx == nullptr) return {};
  const LinearWeight weight = weight_of(sizes, copies.weight(device, g.weight, sizes.weight));
  matmul(device, linear_input_gradient(weight, sizes.rows, sizes.type, MatrixType::kFloat32),
         upstream, weight.data, g.dx);
  return {};
}

}  // namespace

void register_linear(DeviceOpTable& table) {
  table.add("DmLinear", forward);
  table.add("DmLinearGrad", backward);
}

}  // namespace dm::cuda
