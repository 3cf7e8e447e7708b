// SPDX-License-Identifier: Apache-2.0
// x · weightᵀ + bias, optionally through GELU: packages/core/src/ops/linear.ts.
//
// R rows, K inWidth, C outWidth. The preactivation that GELU saves is bfloat16 when products are.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/matmul.h"
#include "cpu/scratch.h"
#include "cpu/simd/matmul.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

bool flag(const OpArguments& arguments, std::size_t index) {
  return arguments.number_count > index && arguments.numbers[index] != 0;
}

const void* read(Arguments& in, std::size_t index, std::int64_t elements, MatrixType type) {
  return in.bytes(index, elements, static_cast<std::size_t>(bytes_of(type)));
}

// buffers: x [R, K], weight [C, K], bias [C] if biased, y [R, C], preactivation [R, C] if gelu.
// numbers: [R, K, C, biased, gelu, bfloat16].
Status forward(const OpArguments& arguments) {
  const bool biased = flag(arguments, 3);
  const bool gelu = flag(arguments, 4);
  const std::size_t out = biased ? 3 : 2;
  Arguments in("DmLinear", arguments, out + (gelu ? 2 : 1), 6);
  MatmulDescription d;
  d.m = in.count(0);
  d.k = in.count(1);
  d.n = in.count(2);
  d.product = in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32;
  const std::int64_t elements = in.elements({d.m, d.n});
  const float* x = in.buffer<const float>(0, in.elements({d.m, d.k}));
  const float* weight = in.buffer<const float>(1, in.elements({d.n, d.k}));
  if (biased) d.epilogue.bias = in.buffer<const float>(2, d.n);
  float* y = in.buffer<float>(out, elements);
  if (gelu) {
    d.epilogue.activation = MatmulActivation::kGelu;
    d.epilogue.preactivation = in.bytes(out + 1, elements, static_cast<std::size_t>(bytes_of(d.product)));
    d.epilogue.preactivation_type = d.product;
  }
  if (!in.ok()) return in.status();
  d.a = row_major(d.k);
  d.b = transposed(d.k);
  d.c = row_major(d.n);
  return matmul(d, x, weight, y);
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

// buffers: dy [R, C], x [R, K], weight [C, K], preactivation [R, C] if gelu, dWeight [C, K], dBias
// [C] if biased, dx [R, K] if inputGradient. numbers: [R, K, C, biased, gelu, bfloat16,
// inputGradient].
Status backward(const OpArguments& arguments) {
  const bool biased = flag(arguments, 3);
  const bool gelu = flag(arguments, 4);
  const bool input_gradient = flag(arguments, 6);
  const std::size_t out = gelu ? 4 : 3;
  const std::size_t last = out + (biased ? 2 : 1);
  Arguments in("DmLinearGrad", arguments, last + (input_gradient ? 1 : 0), 7);
  const std::int64_t rows = in.count(0);
  const std::int64_t in_width = in.count(1);
  const std::int64_t out_width = in.count(2);
  const std::int64_t elements = in.elements({rows, out_width});
  const MatrixType type = in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32;
  const float* dy = in.buffer<const float>(0, elements);
  const float* x = in.buffer<const float>(1, in.elements({rows, in_width}));
  const float* weight = in.buffer<const float>(2, in.elements({out_width, in_width}));
  const void* preactivation = gelu ? read(in, 3, elements, type) : nullptr;
  float* d_weight = in.buffer<float>(out, in.elements({out_width, in_width}));
  float* d_bias = biased ? in.buffer<float>(out + 1, out_width) : nullptr;
  float* dx = input_gradient ? in.buffer<float>(last, in.elements({rows, in_width})) : nullptr;
  if (!in.ok()) return in.status();

  const Scratch<std::byte> before_gelu(
      gelu ? elements * bytes_of(type) : 0);
  const void* upstream = dy;
  MatrixType upstream_type = MatrixType::kFloat32;
  if (gelu) {
    through_gelu(dy, preactivation, elements, type, before_gelu.data());
    upstream = before_gelu.data();
    upstream_type = type;
  }
  if (biased) column_sums(upstream, upstream_type, rows, out_width, d_bias);

  MatmulDescription d;
  d.product = type;
  d.m = out_width;
  d.k = rows;
  d.n = in_width;
  d.a = transposed(out_width, upstream_type);
  d.b = row_major(in_width);
  d.c = row_major(in_width);
  const Status status = matmul(d, upstream, x, d_weight);
  if (!status.ok() || !input_gradient) return status;
  d.m = rows;
  d.k = out_width;
  d.a = row_major(out_width, upstream_type);
  return matmul(d, upstream, weight, dx);
}

}  // namespace

void register_linear(OpTable& table) {
  table.add("DmLinear", forward);
  table.add("DmLinearGrad", backward);
}

}  // namespace dm::cpu
