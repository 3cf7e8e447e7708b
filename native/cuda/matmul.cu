// SPDX-License-Identifier: Apache-2.0
// The choice between the driver's library and the kernels of matmul-bf16.cuh and matmul-float.cuh, and among those.
#include "cuda/matmul.h"

#include <algorithm>

#include "cuda/branch-rows.h"
#include "cuda/core/launch-add-partials.cuh"
#include "cuda/matmul-bf16.cuh"
#include "cuda/matmul-columns.cuh"
#include "cuda/matmul-float.cuh"
#include "cuda/matmul-tile.cuh"

namespace dm::cuda {

namespace {

MatmulOperand operand(const void* data, const MatrixLayout& layout, std::int64_t length,
                      std::int64_t l_step, std::int64_t k_step) {
  const bool bfloat16 = layout.type == MatrixType::kBFloat16;
  const bool by_k = k_step == 1;
  const bool whole = quads_aligned(data, by_k ? l_step : k_step, bfloat16) &&
                     layout.batch_step % 4 == 0;
  return {.data = data,
          .l_step = l_step,
          .k_step = k_step,
          .batch_step = layout.batch_step,
          .length = length,
          .bfloat16 = bfloat16,
          .by_k = by_k,
          .whole = whole};
}

FinishActivation activation_of(const MatmulEpilogue& e) {
  switch (e.activation) {
    case MatmulActivation::kNone:
      return FinishActivation::kNone;
    case MatmulActivation::kGelu:
      return FinishActivation::kGelu;
    case MatmulActivation::kGeluSlope:
      return FinishActivation::kGeluSlope;
  }
  return FinishActivation::kNone;
}

MatmulFinish finish_of(const MatmulDescription& d, void* c) {
  const MatmulEpilogue& e = d.epilogue;
  const bool c_bfloat16 = d.c.type == MatrixType::kBFloat16;
  const bool saved_bfloat16 = e.preactivation_type == MatrixType::kBFloat16;
  const bool whole =
      d.n % 4 == 0 && quads_aligned(c, d.c.row_step, c_bfloat16) && d.c.batch_step % 4 == 0 &&
      quads_aligned(e.preactivation, 0, saved_bfloat16) &&
      quads_aligned(e.activated, 0, saved_bfloat16) && quads_aligned(e.bias, 0, false) &&
      quads_aligned(e.residual, 0, false);
  return {.c = c,
          .preactivation = e.preactivation,
          .activated = e.activated,
          .bias = e.bias,
          .row_scale = e.row_scale,
          .residual = e.residual,
          .rows_per_scale = e.rows_per_scale,
          .c_row_step = d.c.row_step,
          .c_batch_step = d.c.batch_step,
          .m = d.m,
          .n = d.n,
          .activation = activation_of(e),
          .c_bfloat16 = c_bfloat16,
          .preactivation_bfloat16 = saved_bfloat16,
          .accumulate = d.accumulate,
          .whole = whole};
}

/// Whether chunks of eight bfloat16 can be copied as they are; places in a tile are 32-bit numbers then.
bool copies_whole(const MatmulOperand& x, std::int64_t k) {
  constexpr std::int64_t kLongest = 1 << 23;
  const std::int64_t step = x.by_k ? x.l_step : x.k_step;
  return x.bfloat16 && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
         x.batch_step % 8 == 0 && step % 8 == 0 && step <= kLongest &&
         (x.by_k ? k : x.length) % 8 == 0;
}

/// How a product is cut: into tiles of c, and parts of k.
struct Cut {
  int tile;
  std::int64_t parts, k_part;
};

/// Large tiles when they are enough for every multiprocessor, or when parts of k make up for them; else small ones.
Cut cut_of(const Device& device, const MatmulDescription& d) {
  constexpr std::int64_t kShortestPart = 512;
  constexpr std::int64_t kMostParts = 16;
  const auto tiles = [&](int tile) {
    return blocks_for(d.m, tile) * blocks_for(d.n, tile) * d.batch;
  };
  const std::int64_t processors = device.multiprocessors();
  if (tiles(kLargeTile) >= processors) return {kLargeTile, 1, d.k};
  const int tile = std::min(d.m, d.n) > kSmallTile ? kLargeTile : kSmallTile;
  const std::int64_t wanted = std::min({2 * processors / tiles(tile), d.k / kShortestPart, kMostParts});
  if (wanted < 2) return {kSmallTile, 1, d.k};
  const std::int64_t k_part = blocks_for(blocks_for(d.k, wanted), kMmaSlice) * kMmaSlice;
  return {tile, blocks_for(d.k, k_part), k_part};
}

void set_tiles(Matmul& p, int tile) {
  p.row_tiles = static_cast<int>(blocks_for(p.finish.m, tile));
  p.column_tiles = static_cast<int>(blocks_for(p.finish.n, tile));
}

std::int64_t blocks_of(const Matmul& p) {
  return static_cast<std::int64_t>(p.row_tiles) * p.column_tiles * p.batches;
}

template <int kTile>
void multiply_copied(Device& device, Matmul p, std::int64_t parts) {
  set_tiles(p, kTile);
  const Grid grid{.blocks = blocks_of(p),
                  .blocks_y = parts,
                  .threads = kMmaThreads<kTile>,
                  .shared_bytes = mma_shared(kTile, kMmaStages)};
  if (p.a.by_k && p.b.by_k) return launch<matmul_bf16<kTile, true, true>>(device, grid, p);
  if (p.a.by_k) return launch<matmul_bf16<kTile, true, false>>(device, grid, p);
  if (p.b.by_k) return launch<matmul_bf16<kTile, false, true>>(device, grid, p);
  launch<matmul_bf16<kTile, false, false>>(device, grid, p);
}

template <int kTile>
void multiply_float(Device& device, Matmul p, std::int64_t parts) {
  set_tiles(p, kTile);
  launch<matmul_float<kTile>>(device,
                              {.blocks = blocks_of(p),
                               .blocks_y = parts,
                               .threads = kFloatThreads,
                               .shared_bytes = float_shared(kTile)},
                              p);
}

void multiply_tiles(Device& device, const MatmulDescription& d, const Matmul& p, const Cut& cut) {
  const bool large = cut.tile == kLargeTile;
  if (d.product == MatrixType::kFloat32) {
    return large ? multiply_float<kLargeTile>(device, p, cut.parts)
                 : multiply_float<kSmallTile>(device, p, cut.parts);
  }
  if (copies_whole(p.a, d.k) && copies_whole(p.b, d.k)) {
    return large ? multiply_copied<kLargeTile>(device, p, cut.parts)
                 : multiply_copied<kSmallTile>(device, p, cut.parts);
  }
  Matmul any = p;
  set_tiles(any, kSmallTile);
  launch<matmul_bf16_any>(device,
                          {.blocks = blocks_of(any),
                           .blocks_y = cut.parts,
                           .threads = kMmaThreads<kSmallTile>,
                           .shared_bytes = mma_shared(kSmallTile, 2)},
                          any);
}

/// The epilogue of `product` [P, B, M, N], stored as `type`.
void finish(Device& device, const MatmulDescription& d, const void* product, MatrixType type,
            std::int64_t parts, void* c) {
  const bool bfloat16 = type == MatrixType::kBFloat16;
  FinishProduct p{.finish = finish_of(d, c),
                  .product = product,
                  .product_bfloat16 = bfloat16,
                  .rows = d.batch * d.m,
                  .parts = static_cast<int>(parts)};
  p.finish.whole = p.finish.whole && quads_aligned(product, d.n, bfloat16);
  launch<finish_product>(device,
                         {.blocks = blocks_for(p.rows * blocks_for(d.n, 4), kFinishThreads),
                          .threads = kFinishThreads},
                         p);
}

void multiply(Device& device, const MatmulDescription& d, const void* a, const void* b, void* c) {
  const Cut cut = cut_of(device, d);
  Matmul p{.a = operand(a, d.a, d.m, d.a.row_step, d.a.column_step),
           .b = operand(b, d.b, d.n, d.b.column_step, d.b.row_step),
           .finish = finish_of(d, c),
           .k = d.k,
           .k_part = cut.k_part,
           .batches = d.batch,
           .row_tiles = 0,
           .column_tiles = 0};
  if (cut.parts == 1) return multiply_tiles(device, d, p, cut);
  const std::int64_t size = d.batch * d.m * d.n;
  void* const sums = device.allocate(static_cast<std::size_t>(cut.parts * size) * sizeof(float));
  if (sums == nullptr) return;
  MatmulDescription plain = d;
  plain.epilogue = {};
  plain.accumulate = false;
  plain.c = row_major(d.n, MatrixType::kFloat32, d.m * d.n);
  p.finish = finish_of(plain, sums);
  multiply_tiles(device, d, p, cut);
  finish(device, d, sums, MatrixType::kFloat32, cut.parts, c);
  // In the order of the stream.
  device.release(sums);
}

/// What a library leaves to a pass of our own.
struct Remainder {
  MatmulEpilogue epilogue;
  const void* product;  ///< where the library's result is
  MatrixType type;

  bool any() const {
    return epilogue.activation != MatmulActivation::kNone || epilogue.row_scale != nullptr;
  }
};

/// The part for a library, and what remains; false when the product is not for a library.
bool split(const MatmulDescription& d, const void* a, const void* b, void* c, LibraryProduct& call,
           Remainder& rest) {
  const bool dense = d.c.row_step == d.n && (d.batch == 1 || d.c.batch_step == d.m * d.n);
  if (d.a.type != d.product || d.b.type != d.product || !dense || d.k == 0) return false;
  if (d.accumulate && d.epilogue.residual != nullptr) return false;
  rest = {d.epilogue, c, d.c.type};
  rest.epilogue.bias = nullptr;
  if (d.epilogue.activation == MatmulActivation::kGelu && d.epilogue.preactivation != nullptr) {
    rest.product = d.epilogue.preactivation;
    rest.type = d.epilogue.preactivation_type;
    rest.epilogue.preactivation = nullptr;
  }
  if (rest.any() && d.accumulate) return false;
  const float* added = d.accumulate ? static_cast<const float*>(c) : d.epilogue.residual;
  if (rest.any()) added = nullptr;
  const bool c_bfloat16 = rest.type == MatrixType::kBFloat16;
  if (added != nullptr && c_bfloat16) return false;
  const bool a_transposed = d.a.column_step != 1;
  const bool b_transposed = d.b.column_step != 1;
  call = {.m = d.m, .k = d.k, .n = d.n, .batch = d.batch,
          .a = a, .b = b, .c = const_cast<void*>(rest.product),
          .bias = d.epilogue.bias, .a_sums = nullptr, .added = added,
          .a_transposed = a_transposed, .b_transposed = b_transposed,
          // Of a single row no step is known; libraries want it as long as the row.
          .a_step = a_transposed ? std::max(d.a.column_step, d.m) : std::max(d.a.row_step, d.k),
          .b_step = b_transposed ? std::max(d.b.column_step, d.k) : std::max(d.b.row_step, d.n),
          .c_step = d.n,
          .a_batch_step = d.a.batch_step, .b_batch_step = d.b.batch_step,
          .c_batch_step = d.m * d.n,
          .bfloat16 = d.product == MatrixType::kBFloat16, .c_bfloat16 = c_bfloat16};
  return true;
}

/// Whether a library did it; sums that came with it are wanted no more.
bool multiply_by_library(Device& device, const MatmulDescription& d, const void* a, const void* b,
                         void* c, MatmulSums& sums) {
  LibraryProduct call;
  Remainder rest;
  if (!split(d, a, b, c, call, rest)) return false;
  call.a_sums = call.bias == nullptr && !call.c_bfloat16 ? sums.of_a : nullptr;
  bool done = device.multiply(call);
  if (done && call.a_sums != nullptr) sums.of_a = nullptr;
  if (!done && call.a_sums != nullptr) {
    call.a_sums = nullptr;
    done = device.multiply(call);
  }
  if (!done || !rest.any()) return done;
  MatmulDescription after = d;
  after.epilogue = rest.epilogue;
  apply_epilogue(device, after, rest.product, rest.type, c, sums);
  sums.of_c = nullptr;
  return true;
}

}  // namespace

void matmul(Device& device, const MatmulDescription& d, const void* a, const void* b, void* c,
            const MatmulSums& sums) {
  if (!device.status().ok()) return;
  MatmulSums left = sums;
  const bool empty = d.m == 0 || d.n == 0 || d.batch == 0;
  if (!empty && !multiply_by_library(device, d, a, b, c, left)) multiply(device, d, a, b, c);
  if (left.of_a != nullptr) {
    column_sums(device, {.x = a, .type = d.a.type, .rows = d.k, .columns = d.m}, left.of_a,
                left.scratch);
  }
  if (left.of_c != nullptr) {
    column_sums(device, {.x = c, .type = d.c.type, .rows = d.m, .columns = d.n}, left.of_c,
                left.scratch);
  }
}

namespace {

void finish_with_sums(Device& device, const MatmulDescription& d, const void* product,
                      bool bfloat16, void* c, const MatmulSums& sums) {
  const auto [blocks, rows_per_block] = column_blocks(device, d.m, d.n);
  FinishColumns p{.finish = finish_of(d, c),
                  .product = product,
                  .partials = static_cast<float*>(sums.scratch),
                  .rows_per_block = rows_per_block,
                  .product_bfloat16 = bfloat16};
  p.finish.whole = p.finish.whole && quads_aligned(product, d.n, bfloat16);
  launch<finish_columns>(device,
                         {.blocks = blocks,
                          .blocks_y = blocks_for(d.n, kSumColumns),
                          .threads = kSumWarps * kWarp,
                          .shared_bytes = kSumColumnsShared},
                         p);
  launch_add_partials(device, {.partials = p.partials,
                               .first = sums.of_c,
                               .second = nullptr,
                               .parts = static_cast<int>(blocks),
                               .sums = 1,
                               .width = static_cast<int>(d.n)});
}

}  // namespace

void apply_epilogue(Device& device, const MatmulDescription& d, const void* product,
                    MatrixType product_type, void* c, const MatmulSums& sums) {
  if (sums.of_c == nullptr) return finish(device, d, product, product_type, 1, c);
  finish_with_sums(device, d, product, product_type == MatrixType::kBFloat16, c, sums);
}

}  // namespace dm::cuda
