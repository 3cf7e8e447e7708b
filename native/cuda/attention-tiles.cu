// SPDX-License-Identifier: Apache-2.0
// Launches of attention in float32: tiles of 16 for windows and lengths up to that, else of 64.
#include "cuda/attention-tiles.cuh"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/window-grid.h"
#include "cuda/attention-paths.h"
#include "cuda/attention-tile.cuh"
#include "cuda/attention-tiles-backward.cuh"
#include "cuda/core/launch.cuh"

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
  device.hide(scratch + shape.log_sums(), kRedZone);
  find_deltas<T>(device, call, scratch);
  float* const partials = scratch + behind_deltas(shape);
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

}  // namespace

void tiles_forward(Device& device, const AttentionCall& call) {
  if (call.shape.bfloat16) {
    forward_by_tiles<bf16>(device, call);
  } else {
    forward_by_tiles<float>(device, call);
  }
}

std::size_t tiles_backward_scratch(const AttentionShape& shape) {
  const std::int64_t table = shape.table == nullptr
                                 ? 0
                                 : table_parts(shape) * shape.windows.table_rows() * shape.heads;
  return static_cast<std::size_t>(behind_deltas(shape) + table) * sizeof(float);
}

void tiles_backward(Device& device, const AttentionCall& call, float* scratch) {
  if (call.shape.bfloat16) {
    backward_by_tiles<bf16>(device, call, scratch);
  } else {
    backward_by_tiles<float>(device, call, scratch);
  }
}

}  // namespace dm::cuda
