// SPDX-License-Identifier: Apache-2.0
// DmAttention and DmAttentionGrad on a device: core/attention-arguments.h says what they are given. And attention for other ops (attention.h).
#include "cuda/attention.h"

#include <algorithm>
#include <string>

#include "core/attention-arguments.h"
#include "cuda/attention-paths.h"
#include "cuda/core/launch-add-partials.cuh"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// Lengths and widths are ints in kernels.
Status check(const AttentionShape& shape) {
  constexpr std::int64_t kMost = 1 << 30;
  const std::int64_t most =
      std::max({shape.queries, shape.keys, shape.head_width, shape.heads, shape.batch * (shape.windows.any() ? shape.windows.windows() : 1)});
  if (most < kMost) return {};
  return {StatusCode::kUnsupported,
          "attention: expected lengths and widths below 2^30, got " + std::to_string(most)};
}

}  // namespace

void add_table(Device& device, const AttentionShape& shape, const float* partials,
               std::int64_t parts, float* table) {
  const std::int64_t width = shape.windows.table_rows() * shape.heads;
  const AddPartials sums{.partials = partials,
                         .first = table,
                         .second = nullptr,
                         .parts = static_cast<int>(parts),
                         .sums = 1,
                         .width = static_cast<int>(width)};
  launch_add_partials(device, sums);
}

Status attention_forward(Device& device, const AttentionShape& shape, const TokenMatrix& query,
                         const TokenMatrix& key, const TokenMatrix& value,
                         const TokenMatrix& output, float* log_sums) {
  if (Status status = check(shape); !status.ok()) return status;
  const AttentionCall call{shape, query, key, value, output, {}, log_sums, {}};
  if (tensor_takes(call)) {
    tensor_forward(device, call);
  } else if (window_takes(call)) {
    window_forward(device, call);
  } else {
    tiles_forward(device, call);
  }
  return device.status();
}

std::size_t attention_backward_scratch(const AttentionShape& shape) {
  const std::size_t by_tiles = tiles_backward_scratch(shape);
  if (!shape.bfloat16) return by_tiles;
  const std::size_t by_tensor_cores =
      shape.windows.any() ? window_backward_scratch(shape) : tensor_backward_scratch(shape);
  return std::max(by_tiles, by_tensor_cores);
}

Status attention_backward(Device& device, const AttentionShape& shape, const TokenMatrix& query,
                          const TokenMatrix& key, const TokenMatrix& value,
                          const TokenMatrix& output, const TokenMatrix& output_gradient,
                          const float* log_sums, const AttentionGradients& gradients,
                          void* scratch) {
  if (Status status = check(shape); !status.ok()) return status;
  if (!device.status().ok()) return device.status();  // there is no scratch
  const AttentionCall call{shape,  query,           key, value,
                           output, output_gradient, const_cast<float*>(log_sums), gradients};
  auto* const floats = static_cast<float*>(scratch);
  if (tensor_takes(call)) {
    tensor_backward(device, call, floats);
  } else if (window_takes(call)) {
    window_backward(device, call, floats);
  } else {
    tiles_backward(device, call, floats);
  }
  return device.status();
}

namespace {

/// Rows of float32.
TokenMatrix rows(const float* data, const AttentionSizes& sizes) {
  return {const_cast<float*>(data), sizes.width};
}

AttentionShape shape_of(const AttentionSizes& sizes, const float* table) {
  return {sizes.batch, sizes.queries, sizes.keys, sizes.heads, sizes.head_width(), sizes.windows, table, false};
}

Status forward(Device& device, const OpArguments& arguments) {
  const AttentionArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  return attention_forward(device, shape_of(a.sizes, a.table), rows(a.query, a.sizes),
                           rows(a.key, a.sizes), rows(a.value, a.sizes), rows(a.y, a.sizes),
                           a.log_sums);
}

Status backward(Device& device, const OpArguments& arguments) {
  const AttentionGradArguments a(arguments);
  if (!a.in.ok()) return a.in.status();
  const AttentionShape shape = shape_of(a.sizes, a.table);
  const auto matrix = [&](const float* data) { return rows(data, a.sizes); };
  return attention_backward(device, shape, matrix(a.query), matrix(a.key), matrix(a.value),
                            matrix(a.y), matrix(a.dy), a.log_sums,
                            {matrix(a.d_query), matrix(a.d_key), matrix(a.d_value), a.d_table},
                            device.scratch(attention_backward_scratch(shape)));
}

}  // namespace

void register_attention(DeviceOpTable& table) {
  table.add("DmAttention", forward);
  table.add("DmAttentionGrad", backward);
}

}  // namespace dm::cuda
