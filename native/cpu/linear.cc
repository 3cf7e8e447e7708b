// SPDX-License-Identifier: Apache-2.0
// x · weightᵀ + bias, optionally through GELU, and its gradient.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/linear-arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/matmul.h"
#include "cpu/scratch.h"
#include "cpu/simd/matmul.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

Status forward(const OpArguments& arguments) {
  const LinearArguments f(arguments);
  if (!f.in.ok()) return f.in.status();
  const LinearSizes& sizes = f.sizes;
  MatmulDescription d;
  d.m = sizes.rows;
  d.k = sizes.in_width;
  d.n = sizes.out_width;
  d.product = sizes.type;
  d.epilogue.bias = f.bias;
  if (f.gelu) {
    d.epilogue.activation = MatmulActivation::kGelu;
    d.epilogue.preactivation = f.preactivation;
    d.epilogue.preactivation_type = sizes.type;
  }
  d.a = row_major(d.k);
  d.b = transposed(d.k);
  d.c = row_major(d.n);
  return matmul(d, f.x, f.weight, f.y);
}

/// The gradient before the activation, as `type`: dy times the slope of gelu.
void through_gelu(const float* dy, const void* preactivation, std::int64_t count, MatrixType type,
                  std::byte* result) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  constexpr std::int64_t kPiece = 512;
  parallel_for(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    float product[kPiece];
    for (std::int64_t i = begin; i < end; i += kPiece) {
      const std::int64_t length = std::min(kPiece, end - i);
      if (type == MatrixType::kBFloat16) {
        std::copy_n(dy + i, length, product);
        kernels.multiply_gelu_slope(static_cast<const std::uint16_t*>(preactivation) + i, true, product, nullptr, length);
        kernels.to_bfloat16(product, reinterpret_cast<std::uint16_t*>(result) + i, length);
      } else {
        float* out = reinterpret_cast<float*>(result) + i;
        std::copy_n(dy + i, length, out);
        kernels.multiply_gelu_slope(static_cast<const float*>(preactivation) + i, false, out, nullptr, length);
      }
    }
  });
}

Status backward(const OpArguments& arguments) {
  const LinearGradArguments g(arguments);
  if (!g.in.ok()) return g.in.status();
  const LinearSizes& sizes = g.sizes;
  const Scratch<std::byte> before_gelu(g.gelu ? sizes.y_bytes() : 0);
  const void* upstream = g.dy;
  MatrixType upstream_type = MatrixType::kFloat32;
  if (g.gelu) {
    through_gelu(g.dy, g.preactivation, sizes.y, sizes.type, before_gelu.data());
    upstream = before_gelu.data();
    upstream_type = sizes.type;
  }
  if (g.d_bias != nullptr) {
    column_sums(upstream, upstream_type, sizes.rows, sizes.out_width, g.d_bias);
  }

  MatmulDescription d;
  d.product = sizes.type;
  d.m = sizes.out_width;
  d.k = sizes.rows;
  d.n = sizes.in_width;
  d.a = transposed(sizes.out_width, upstream_type);
  d.b = row_major(sizes.in_width);
  d.c = row_major(sizes.in_width);
  const Status status = matmul(d, upstream, g.x, g.d_weight);
  if (!status.ok() || g.dx == nullptr) return status;
  d.m = sizes.rows;
  d.k = sizes.out_width;
  d.a = row_major(sizes.out_width, upstream_type);
  return matmul(d, upstream, g.weight, g.dx);
}

}  // namespace

void register_linear(OpTable& table) {
  table.add("DmLinear", forward);
  table.add("DmLinearGrad", backward);
}

}  // namespace dm::cpu
