// SPDX-License-Identifier: Apache-2.0
// DmAttention and DmAttentionGrad on a device: buffers and numbers as in cpu/attention.cc. And attention for other ops (attention.h).
#include "cuda/attention.cuh"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "core/arguments.h"
#include "cuda/attention-backward.cuh"
#include "cuda/attention-paths.h"
#include "cuda/attention-tile.cuh"
#include "cuda/core/add-partials.cuh"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

constexpr std::int64_t kMostParts = 64;  // of the table's gradient
constexpr int kSmallTile = 16;

std::int64_t sequences_of(const AttentionShape& shape) {
  return shape.batch * (shape.windows.any() ? shape.windows.windows() : 1);
}
/// Sequences that one block goes through: several where the gradient of a table is cut into parts.
std::int64_t sequences_a_part(const AttentionShape& shape) {
  if (shape.table == nullptr) return 1;
  return std::max<std::int64_t>(1, blocks_for(sequences_of(shape), kMostParts));
}
std::int64_t parts_of(const AttentionShape& shape) {
  return blocks_for(sequences_of(shape), sequences_a_part(shape));
}
std::int64_t tile_of(std::int64_t queries, std::int64_t keys) {
  return std::max(queries, keys) <= kSmallTile ? kSmallTile : 64;
}

template <class T>
HeadRows<T> rows_of(const TokenMatrix& matrix) {
  return rows_as<HeadRows<T>, T>(matrix);
}

/// Whether four elements from a multiple of four lie at a multiple of their size.
template <class T>
bool takes_vectors(const AttentionCall& call) {
  bool all = call.shape.head_width % 4 == 0;
  for (const TokenMatrix& matrix : {call.query, call.key, call.value, call.output_gradient}) {
    all = all && matrix.stride % 4 == 0 &&
          reinterpret_cast<std::uintptr_t>(matrix.data) % (4 * sizeof(T)) == 0;
  }
  return all;
}

template <class T>
AttentionInputs<T> inputs_of(const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  return {.query = rows_of<const T>(call.query),
          .key = rows_of<const T>(call.key),
          .value = rows_of<const T>(call.value),
          .table = shape.table,
          .grid = shape.windows,
          .sample_queries = shape.queries,
          .sample_keys = shape.keys,
          .queries = static_cast<int>(call.queries()),
          .keys = static_cast<int>(call.keys()),
          .windows = shape.windows.any() ? shape.windows.windows() : 1,
          .heads = static_cast<int>(shape.heads),
          .width = static_cast<int>(shape.head_width),
          .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_width)),
          .vectors = takes_vectors<T>(call)};
}

/// Calls launch_with(tile, side, windowed) as constants.
template <class Launch>
void with_tile(const AttentionCall& call, Launch launch_with) {
  const auto with_windows = [&](auto windowed) {
    if (tile_of(call.queries(), call.keys()) == kSmallTile) {
      launch_with(std::integral_constant<int, kSmallTile>(), std::integral_constant<int, 8>(), windowed);
    } else {
      launch_with(std::integral_constant<int, 64>(), std::integral_constant<int, 16>(), windowed);
    }
  };
  if (call.shape.windows.any()) {
    with_windows(std::true_type());
  } else {
    with_windows(std::false_type());
  }
}

template <class T>
void forward_by_tiles(Device& device, const AttentionCall& call) {
  const AttentionForward<T> p{inputs_of<T>(call), rows_of<T>(call.output), call.log_sums};
  with_tile(call, [&](auto tile, auto side, auto windowed) {
    const Grid grid{.blocks = call.sequences() * call.shape.heads * blocks_for(call.queries(), tile) *
                              blocks_for(call.shape.head_width, kChunk),
                    .threads = side * side,
                    .shared_bytes = attention_forward_shared<tile, side>()};
    launch<attention_forward_tiles<T, tile, side, windowed>>(device, grid, p);
  });
}

template <class T>
void find_deltas(Device& device, const AttentionCall& call, float* delta) {
  const AttentionShape& shape = call.shape;
  const AttentionDelta<T> p{.output = rows_of<const T>(call.output),
                            .output_gradient = rows_of<const T>(call.output_gradient),
                            .delta = delta,
                            .grid = shape.windows,
                            .sample_queries = shape.queries,
                            .rows = shape.log_sums(),
                            .queries = static_cast<int>(call.queries()),
                            .windows = shape.windows.any() ? shape.windows.windows() : 1,
                            .heads = static_cast<int>(shape.heads),
                            .width = static_cast<int>(shape.head_width)};
  launch<attention_delta<T>>(
      device, {.blocks = blocks_for(p.rows, kDeltaWarps), .threads = kDeltaWarps * kWarp}, p);
}

/// Partial sums of the table's gradient that attention_backward_tiles writes.
std::int64_t table_parts(const AttentionShape& shape) {
  const std::int64_t tokens = shape.windows.tokens();
  return parts_of(shape) * blocks_for(tokens, tile_of(tokens, tokens));
}

template <class T>
void backward_by_tiles(Device& device, const AttentionCall& call, float* scratch) {
  const AttentionShape& shape = call.shape;
  find_deltas<T>(device, call, scratch);
  float* const partials = scratch + shape.log_sums();
  const AttentionBackward<T> p{.in = inputs_of<T>(call),
                               .output_gradient = rows_of<const T>(call.output_gradient),
                               .log_sums = call.log_sums,
                               .delta = scratch,
                               .d_query = rows_of<T>(call.gradients.query),
                               .d_key = rows_of<T>(call.gradients.key),
                               .d_value = rows_of<T>(call.gradients.value),
                               .d_table = shape.table == nullptr ? nullptr : partials,
                               .sequences = call.sequences(),
                               .sequences_a_part = static_cast<int>(sequences_a_part(shape))};
  with_tile(call, [&](auto tile, auto side, auto windowed) {
    const std::int64_t one_tile =
        parts_of(shape) * shape.heads * blocks_for(shape.head_width, kChunk);
    Grid grid{.blocks = one_tile * blocks_for(call.queries(), tile),
              .threads = side * side,
              .shared_bytes = attention_backward_shared<tile, side>(shape.windows.table_rows())};
    launch<attention_backward_tiles<T, tile, side, windowed, false>>(device, grid, p);
    grid.blocks = one_tile * blocks_for(call.keys(), tile);
    launch<attention_backward_tiles<T, tile, side, windowed, true>>(device, grid, p);
  });
  if (shape.table != nullptr) {
    add_table(device, shape, partials, table_parts(shape), call.gradients.table);
  }
}

/// Lengths and widths are ints in kernels.
Status check(const AttentionShape& shape) {
  constexpr std::int64_t kMost = 1 << 30;
  const std::int64_t most =
      std::max({shape.queries, shape.keys, shape.head_width, shape.heads, sequences_of(shape)});
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
  } else if (shape.bfloat16) {
    forward_by_tiles<bf16>(device, call);
  } else {
    forward_by_tiles<float>(device, call);
  }
  return device.status();
}

std::size_t attention_backward_scratch(const AttentionShape& shape) {
  const std::int64_t table = shape.table == nullptr
                                 ? 0
                                 : table_parts(shape) * shape.windows.table_rows() * shape.heads;
  const std::size_t by_tiles = static_cast<std::size_t>(shape.log_sums() + table) * sizeof(float);
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
  } else if (shape.bfloat16) {
    backward_by_tiles<bf16>(device, call, floats);
  } else {
    backward_by_tiles<float>(device, call, floats);
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
