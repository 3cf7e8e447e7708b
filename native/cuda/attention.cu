// SPDX-License-Identifier: Apache-2.0
// DmAttention and DmAttentionGrad on a device: buffers and numbers as in cpu/attention.cc. And attention for other ops (attention.h).
#include "cuda/attention.h"

#include <algorithm>
#include <string>

#include "core/arguments.h"
#include "cuda/attention-paths.h"
#include "cuda/core/add-partials.cuh"
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

struct Axis {
  std::int64_t length, window, shift;
};

Axis read_axis(Arguments& in, std::size_t first) {
  Axis axis{in.count(first), in.count(first + 2), in.count(first + 4)};
  if (axis.window > 0 && axis.length % axis.window != 0) {
    in.fail("a grid that the window divides",
            std::to_string(axis.length) + " by " + std::to_string(axis.window));
  }
  if (axis.window > 0 && axis.shift >= axis.window) {
    in.fail("a shift shorter than the window", std::to_string(axis.shift));
  }
  if (axis.length <= axis.window) axis.shift = 0;  // one window along it: nothing to shift
  return axis;
}

}  // namespace

WindowGrid read_window_grid(Arguments& in, std::size_t first, std::int64_t tokens) {
  const Axis down = read_axis(in, first);
  const Axis right = read_axis(in, first + 1);
  if (!in.ok() || down.window == 0 || right.window == 0) return {};
  if (in.elements({down.length, right.length}) != tokens) {
    in.fail("as many tokens as the grid has", std::to_string(tokens));
    return {};
  }
  return {.rows = static_cast<int>(down.length),
          .columns = static_cast<int>(right.length),
          .a = static_cast<int>(down.window),
          .b = static_cast<int>(right.window),
          .down = static_cast<int>(down.shift),
          .right = static_cast<int>(right.shift)};
}

void add_table(Device& device, const AttentionShape& shape, const float* partials,
               std::int64_t parts, float* table) {
  const std::int64_t width = shape.windows.table_rows() * shape.heads;
  const AddPartials sums{.partials = partials,
                         .first = table,
                         .second = nullptr,
                         .parts = static_cast<int>(parts),
                         .sums = 1,
                         .width = static_cast<int>(width)};
  launch<add_partials>(
      device, {.blocks = blocks_for(width, kAddPartialsThreads), .threads = kAddPartialsThreads}, sums);
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

struct Sizes {
  std::int64_t batch, queries, keys, width, heads;
  bool biased;
  WindowGrid windows;

  explicit Sizes(Arguments& in)
      : batch(in.count(0)),
        queries(in.count(1)),
        keys(in.count(2)),
        width(in.count(3)),
        heads(in.count(4)),
        biased(in.flag(5)),
        windows(read_window_grid(in, 6, queries)) {
    in.elements({batch, queries, width, sizeof(float)});
    in.elements({batch, keys, width, sizeof(float)});
    if (in.ok() && (heads == 0 || width % heads != 0)) {
      in.fail("heads that divide the width", std::to_string(heads));
    }
    if (in.ok() && windows.any() && keys != queries) {
      in.fail("as many keys as queries with windows", std::to_string(keys));
    }
    if (in.ok() && biased && !windows.any()) in.fail("windows with biases", "none");
  }

  std::int64_t query_size() const { return batch * queries * width; }
  std::int64_t key_size() const { return batch * keys * width; }
  std::int64_t table_size() const { return windows.table_rows() * heads; }
  AttentionShape shape(const float* table) const {
    return {batch, queries, keys, heads, heads == 0 ? 0 : width / heads, windows, table, false};
  }
  TokenMatrix rows(const float* data) const { return {const_cast<float*>(data), width}; }
};

// buffers: query, key, value, relBias; y, logSums. numbers: [batch, queries, keys, width, heads, biased, rows, columns, a, b, down,
// right]; the last six are 0 without windows; relBias is read when biased, which takes windows. All float32, whatever the precision.
Status forward(Device& device, const OpArguments& arguments) {
  Arguments in("DmAttention", arguments, 6, 12);
  const Sizes sizes(in);
  const float* query = in.buffer<const float>(0, sizes.query_size());
  const float* key = in.buffer<const float>(1, sizes.key_size());
  const float* value = in.buffer<const float>(2, sizes.key_size());
  const float* table = sizes.biased ? in.buffer<const float>(3, sizes.table_size()) : nullptr;
  float* y = in.buffer<float>(4, sizes.query_size());
  float* log_sums = in.buffer<float>(5, sizes.batch * sizes.queries * sizes.heads);
  if (!in.ok()) return in.status();
  return attention_forward(device, sizes.shape(table), sizes.rows(query), sizes.rows(key),
                           sizes.rows(value), sizes.rows(y), log_sums);
}

// buffers: dy, query, key, value, relBias, y, logSums; dQuery, dKey, dValue, and dRelBias when biased. numbers: as DmAttention.
Status backward(Device& device, const OpArguments& arguments) {
  const bool biased = arguments.number_count > 5 && arguments.numbers[5] != 0;
  Arguments in("DmAttentionGrad", arguments, biased ? 11 : 10, 12);
  const Sizes sizes(in);
  const float* dy = in.buffer<const float>(0, sizes.query_size());
  const float* query = in.buffer<const float>(1, sizes.query_size());
  const float* key = in.buffer<const float>(2, sizes.key_size());
  const float* value = in.buffer<const float>(3, sizes.key_size());
  const float* table = sizes.biased ? in.buffer<const float>(4, sizes.table_size()) : nullptr;
  const float* y = in.buffer<const float>(5, sizes.query_size());
  const float* log_sums = in.buffer<const float>(6, sizes.batch * sizes.queries * sizes.heads);
  float* d_query = in.buffer<float>(7, sizes.query_size());
  float* d_key = in.buffer<float>(8, sizes.key_size());
  float* d_value = in.buffer<float>(9, sizes.key_size());
  float* d_table = sizes.biased ? in.buffer<float>(10, sizes.table_size()) : nullptr;
  if (!in.ok()) return in.status();
  const AttentionShape shape = sizes.shape(table);
  return attention_backward(
      device, shape, sizes.rows(query), sizes.rows(key), sizes.rows(value), sizes.rows(y),
      sizes.rows(dy), log_sums,
      {sizes.rows(d_query), sizes.rows(d_key), sizes.rows(d_value), d_table},
      device.scratch(attention_backward_scratch(shape)));
}

}  // namespace

void register_attention(DeviceOpTable& table) {
  table.add("DmAttention", forward);
  table.add("DmAttentionGrad", backward);
}

}  // namespace dm::cuda
