// SPDX-License-Identifier: Apache-2.0
// DmLinear and DmLinearGrad on a device: buffers and numbers as in cpu/linear.cc.
//
// R rows, K inWidth, C outWidth.
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "cuda/branch-rows.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

bool flag(const OpArguments& arguments, std::size_t index) {
  return arguments.number_count > index && arguments.numbers[index] != 0;
}

MatrixType type_of(Arguments& in) {
  return in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32;
}

// buffers: x [R, K], weight [C, K], bias [C] if biased, y [R, C], preactivation [R, C] if gelu.
// numbers: [R, K, C, biased, gelu, bfloat16].
Status forward(Device& device, const OpArguments& arguments) {
  const bool biased = flag(arguments, 3);
  const bool gelu = flag(arguments, 4);
  const std::size_t out = biased ? 3 : 2;
  Arguments in("DmLinear", arguments, out + (gelu ? 2 : 1), 6);
  const std::int64_t rows = in.count(0);
  const std::int64_t in_width = in.count(1);
  const std::int64_t out_width = in.count(2);
  const MatrixType type = type_of(in);
  const std::int64_t x_size = in.elements({rows, in_width});
  const std::int64_t weight_size = in.elements({out_width, in_width});
  const std::int64_t y_size = in.elements({rows, out_width});
  const float* x = in.buffer<const float>(0, x_size);
  const float* weight = in.buffer<const float>(1, weight_size);
  MatmulDescription product = linear_product({weight, out_width, in_width, type}, rows, type, MatrixType::kFloat32);
  if (biased) product.epilogue.bias = in.buffer<const float>(2, out_width);
  float* y = in.buffer<float>(out, y_size);
  if (gelu) {
    product.epilogue.activation = MatmulActivation::kGelu;
    product.epilogue.preactivation = in.buffer<std::byte>(out + 1, y_size * bytes_of(type));
    product.epilogue.preactivation_type = type;
  }
  if (!in.ok()) return in.status();
  ScratchPlan plan;
  TypedCopies copies(plan, type);
  const std::size_t x_copy = copies.add(x_size);
  if (!plan.take(device)) return {};
  const void* typed_weight = copies.weight(device, weight, weight_size);
  matmul(device, product, copies.make(device, x_copy, x, x_size), typed_weight, y);
  return {};
}

/// What the gradient reads and writes; see backward.
struct Gradient {
  std::int64_t rows, in_width, out_width;
  MatrixType type;
  bool gelu;
  const float *dy, *x, *weight;
  std::byte* preactivation;
  float *d_weight, *d_bias, *dx;  ///< d_bias and dx may be null

  std::int64_t x_size() const { return rows * in_width; }
  std::int64_t weight_size() const { return out_width * in_width; }
  std::int64_t y_size() const { return rows * out_width; }
};

/// The gradient before the activation, of the type of the products, in `own` unless it is dy itself.
const void* through_gelu(Device& device, const Gradient& g, void* own) {
  MatmulDescription d;
  d.m = g.rows;
  d.n = g.out_width;
  d.c = row_major(g.out_width, g.type);
  d.epilogue.activation = MatmulActivation::kGeluSlope;
  d.epilogue.preactivation = g.preactivation;
  d.epilogue.preactivation_type = g.type;
  if (g.rows * g.out_width > 0) apply_epilogue(device, d, g.dy, MatrixType::kFloat32, own);
  return own;
}

Status run_backward(Device& device, const Gradient& g) {
  const bool half = g.type == MatrixType::kBFloat16;
  ScratchPlan plan;
  TypedCopies copies(plan, g.type);
  const std::size_t x_copy = copies.add(g.x_size());
  const std::size_t own = plan.add(half || g.gelu ? g.y_size() * bytes_of(g.type) : 0);
  const std::size_t partials =
      plan.add(g.d_bias == nullptr ? 0 : column_sums_scratch(device, g.rows, g.out_width));
  if (!plan.take(device)) return {};

  ColumnSums sums{.x = g.dy, .rows = g.rows, .columns = g.out_width};
  const void* upstream = g.dy;
  if (g.gelu) {
    sums.x = upstream = through_gelu(device, g, plan.at(own));
    sums.type = g.type;
  } else if (half) {
    upstream = plan.at(own);
    sums.y = g.d_bias == nullptr ? nullptr : plan.at(own);
    sums.y_type = g.type;
    if (g.d_bias == nullptr) round_to_bf16(device, g.dy, plan.at(own), g.y_size());
  }
  if (g.d_bias != nullptr) column_sums(device, sums, g.d_bias, plan.at(partials));
  const LinearWeight shape{nullptr, g.out_width, g.in_width, g.type};
  matmul(device, linear_weight_gradient(shape, g.rows, g.type), upstream,
         copies.make(device, x_copy, g.x, g.x_size()), g.d_weight);
  if (g.dx == nullptr) return {};
  matmul(device, linear_input_gradient(shape, g.rows, g.type, MatrixType::kFloat32), upstream,
         copies.weight(device, g.weight, g.weight_size()), g.dx);
  return {};
}

// buffers: dy [R, C], x [R, K], weight [C, K], preactivation [R, C] if gelu, dWeight [C, K], dBias [C] if biased, dx [R, K] if
// inputGradient. numbers: [R, K, C, biased, gelu, bfloat16, inputGradient].
Status backward(Device& device, const OpArguments& arguments) {
  const bool biased = flag(arguments, 3);
  const bool gelu = flag(arguments, 4);
  const bool input_gradient = flag(arguments, 6);
  const std::size_t out = gelu ? 4 : 3;
  const std::size_t last = out + (biased ? 2 : 1);
  Arguments in("DmLinearGrad", arguments, last + (input_gradient ? 1 : 0), 7);
  Gradient g{};
  g.rows = in.count(0);
  g.in_width = in.count(1);
  g.out_width = in.count(2);
  g.type = type_of(in);
  g.gelu = gelu;
  const std::int64_t y_size = in.elements({g.rows, g.out_width});
  const std::int64_t x_size = in.elements({g.rows, g.in_width});
  const std::int64_t weight_size = in.elements({g.out_width, g.in_width});
  g.dy = in.buffer<const float>(0, y_size);
  g.x = in.buffer<const float>(1, x_size);
  g.weight = in.buffer<const float>(2, weight_size);
  if (gelu) g.preactivation = in.buffer<std::byte>(3, y_size * bytes_of(g.type));
  g.d_weight = in.buffer<float>(out, weight_size);
  if (biased) g.d_bias = in.buffer<float>(out + 1, g.out_width);
  if (input_gradient) g.dx = in.buffer<float>(last, x_size);
  if (!in.ok()) return in.status();
  return run_backward(device, g);
}

}  // namespace

void register_linear(DeviceOpTable& table) {
  table.add("DmLinear", forward);
  table.add("DmLinearGrad", backward);
}

}  // namespace dm::cuda
