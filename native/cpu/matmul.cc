// SPDX-License-Identifier: Apache-2.0
// Products as tiles: operands made ready (converted, rearranged), rows and columns cut, each tile
// multiplied by oneDNN and finished while it is in the cache.
//
// m, k, n as in matmul.h; a panel is a range of columns, a strip a range of rows.
#include "cpu/matmul.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "core/thread-pool.h"
#include "cpu/operand.h"
#include "cpu/packed-weight.h"
#include "cpu/product.h"
#include "cpu/simd/matmul.h"
#include "cpu/tasks.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk of conversions
/// Whole matrices of a batch share a task up to so many operations.
constexpr std::int64_t kTaskOperations = 4'000'000;
/// Matrices of at most so many operations are multiplied by plain loops: making a product of oneDNN
/// ready takes milliseconds, and calling it microseconds.
constexpr std::int64_t kFewOperations = 65'536;
/// From so many rows on, rearranging b for one product pays.
constexpr std::int64_t kPackOnceRows = 512;
/// Enough tiles for a few threads to end at about the same time.
constexpr std::int64_t kEnoughTiles = 8;

using Description = MatmulDescription;

std::int64_t operations(const Description& d) { return 2 * d.m * d.n * d.k; }

// ---- the tiles of one product

struct Tile {
  std::int64_t matrix, row, column;      ///< where it starts
  std::int64_t matrices, rows, columns;  ///< how much it is
  std::int64_t strip, panel;             ///< the places of its rows and columns
};

/// How a product is cut; a function of its sizes alone, and of whether b is a weight.
struct Cut {
  std::int64_t matrices = 1;  ///< matrices of a tile; if more than one, tiles are whole matrices
  Panels panels;
  std::int64_t strip;  ///< rows of a tile
  std::int64_t strips = 1;

  Cut(const Description& d, bool weight) : panels(Panels::whole(d.n)), strip(d.m) {
    const std::int64_t work = std::max<std::int64_t>(2 * d.m * d.n, operations(d));
    if (d.batch > 1 && work <= kTaskOperations / 2) {
      matrices = std::min(d.batch, kTaskOperations / work);
    }
    const std::int64_t strips_of_128 = d.batch * ((d.m + 127) / 128);
    if (weight || (work > kTaskOperations && strips_of_128 < kEnoughTiles)) {
      panels = Panels::of_weight(d.n);
    }
    if (work <= kTaskOperations) return;
    std::int64_t most = 256;
    while (most > 64 && d.batch * panels.count * ((d.m + most - 1) / most) < kEnoughTiles) {
      most /= 2;
    }
    const std::int64_t share = (d.m + most - 1) / most;
    strip = std::min(d.m, ((d.m + share - 1) / share + 7) / 8 * 8);
    strips = (d.m + strip - 1) / strip;
  }

  std::int64_t groups(const Description& d) const { return (d.batch + matrices - 1) / matrices; }
  std::int64_t count(const Description& d) const { return groups(d) * panels.count * strips; }

  Tile tile(const Description& d, std::int64_t index) const {
    Tile result;
    result.strip = index % strips;
    result.panel = index / strips % panels.count;
    result.matrix = index / strips / panels.count * matrices;
    result.row = result.strip * strip;
    result.column = result.panel * panels.width;
    result.matrices = std::min(matrices, d.batch - result.matrix);
    result.rows = std::min(strip, d.m - result.row);
    result.columns = std::min(panels.width, d.n - result.column);
    return result;
  }
};

/// Everything that the tiles of one product share.
struct Job {
  const Description& d;
  Operand a = {};
  Operand b = {};
  const PackedMatrix* packed = nullptr;
  void* c = nullptr;
  bool plainly = false;  ///< by loops of ours
  bool finish = false;   ///< tiles are computed beside c and finished by us
  Cut cut;

  const std::byte* left(const Tile& tile) const {
    const std::int64_t row = a.strip == 0 ? tile.row * a.layout.row_step : tile.row * d.k;
    return offset(a.data, tile.matrix * a.layout.batch_step + row, a.layout.type);
  }
  const void* right(const Tile& tile) const {
    if (packed != nullptr) return packed->panel(tile.panel);
    const std::int64_t column = tile.column * b.layout.column_step;
    return offset(b.data, tile.matrix * b.layout.batch_step + column, b.layout.type);
  }
  std::byte* out(std::int64_t matrix, std::int64_t row, std::int64_t column) const {
    return offset(c, matrix * d.c.batch_step + row * d.c.row_step + column, d.c.type);
  }

  ProductShape shape(const Tile& tile) const {
    ProductShape result;
    result.batch = tile.matrices;
    result.m = tile.rows;
    result.k = d.k;
    result.n = tile.columns;
    result.a = a.layout;
    if (a.strip != 0) result.a.column_step = tile.rows;
    result.b = b.layout;
    result.packed = packed != nullptr;
    if (result.packed) result.b = {b.layout.type, 0, 0, 0};
    result.c =
        finish ? row_major(tile.columns, MatrixType::kFloat32, tile.rows * tile.columns) : d.c;
    if (tile.matrices == 1) result.a.batch_step = result.b.batch_step = result.c.batch_step = 0;
    result.accumulate = !finish && d.accumulate;
    result.biased = !finish && d.epilogue.bias != nullptr;
    return result;
  }
};

/// One row of a tile: `row` is the product, then what is made of it.
void finish_row(const Job& job, std::int64_t matrix, std::int64_t row_index, std::int64_t column,
                std::int64_t count, float* row, float* spare) {
  const Description& d = job.d;
  const MatmulEpilogue& after = d.epilogue;
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  const std::int64_t global_row = matrix * d.m + row_index;
  const std::int64_t place = global_row * d.n + column;
  if (after.scale != 1.0f) kernels.scale(after.scale, row, count);
  if (after.bias != nullptr) kernels.add(after.bias + column, row, count);
  if (after.activation == MatmulActivation::kGelu) {
    if (after.preactivation != nullptr) {
      convert_row(row, MatrixType::kFloat32, 1,
                  offset(after.preactivation, place, after.preactivation_type),
                  after.preactivation_type, count);
    }
    kernels.gelu(row, row, count);
  } else if (after.activation == MatmulActivation::kGeluSlope) {
    convert_row(offset(after.preactivation, place, after.preactivation_type),
                after.preactivation_type, 1, spare, MatrixType::kFloat32, count);
    kernels.multiply_gelu_slope(spare, row, count);
  }
  if (after.row_scale != nullptr) {
    kernels.scale(after.row_scale[global_row / after.rows_per_scale], row, count);
  }
  if (after.residual != nullptr) kernels.add(after.residual + place, row, count);
  std::byte* c = job.out(matrix, row_index, column);
  if (d.accumulate) kernels.add(reinterpret_cast<const float*>(c), row, count);
  convert_row(row, MatrixType::kFloat32, 1, c, d.c.type, count);
}

/// The product of a tile by rows of b, which is float32 and dense, as is the result.
void multiply_plainly(const Job& job, const Tile& tile, float* out) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  const MatrixLayout& a = job.a.layout;
  const MatrixLayout& b = job.b.layout;
  const auto* a_values = static_cast<const float*>(job.a.data);
  const auto* b_values = static_cast<const float*>(job.b.data);
  for (std::int64_t i = tile.matrix; i < tile.matrix + tile.matrices; ++i) {
    for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row, out += tile.columns) {
      std::fill_n(out, tile.columns, 0.0f);
      const float* factors = a_values + i * a.batch_step + row * a.row_step;
      const float* rows = b_values + i * b.batch_step + tile.column;
      for (std::int64_t j = 0; j < job.d.k; ++j) {
        kernels.multiply_add(factors[j * a.column_step], rows + j * b.row_step, out, tile.columns);
      }
    }
  }
}

void run_tile(const Job& job, const Tile& tile, const Product* product, ThreadScratch& memory) {
  const Description& d = job.d;
  const auto padded = [](std::int64_t floats) { return (floats + 15) / 16 * 16; };
  const std::int64_t elements = job.finish ? tile.matrices * tile.rows * tile.columns : 0;
  const std::int64_t before = padded(elements) + padded(job.finish ? tile.columns : 0);
  std::byte* scratch = memory.bytes(static_cast<std::size_t>(before) * sizeof(float) +
                                    (product == nullptr ? 0 : product->scratch_bytes()));
  auto* beside = reinterpret_cast<float*>(scratch);
  float* spare = beside + padded(elements);
  if (product == nullptr) {
    multiply_plainly(job, tile, beside);
  } else {
    void* out = beside;
    if (!job.finish) out = job.out(tile.matrix, tile.row, tile.column);
    const bool biased = !job.finish && d.epilogue.bias != nullptr;
    product->run(job.left(tile), job.right(tile), biased ? d.epilogue.bias + tile.column : nullptr,
                 out, beside + before);
  }
  if (!job.finish) return;
  for (std::int64_t i = 0; i < tile.matrices; ++i) {
    for (std::int64_t row = 0; row < tile.rows; ++row) {
      finish_row(job, tile.matrix + i, tile.row + row, tile.column, tile.columns,
                 beside + (i * tile.rows + row) * tile.columns, spare);
    }
  }
}

/// Whether oneDNN has a fast product for the tiles as they are planned.
bool fast(const Job& job) {
  try {
    return product_of(job.shape(job.cut.tile(job.d, 0)))->optimised();
  } catch (const dnnl::error&) {
    return false;
  }
}

void run_job(Job& job) {
  const Description& d = job.d;
  // Not for several matrices in every layout.
  if (job.cut.matrices > 1 && !job.plainly && !fast(job)) job.cut.matrices = 1;
  run_tasks(job.cut.count(d), [&](std::int64_t index, ThreadScratch& memory) {
    const Tile tile = job.cut.tile(d, index);
    const auto product = job.plainly ? nullptr : product_of(job.shape(tile));
    run_tile(job, tile, product.get(), memory);
  });
}

// ---- the whole

/// One matrix instead of a batch where rows follow each other and b is the same for all.
void fold_batch(Description& d) {
  if (d.batch == 1 || d.b.batch_step != 0) return;
  if (d.m == 1) {
    d.a.row_step = d.a.batch_step;
    d.c.row_step = d.c.batch_step;
  }
  if (d.a.batch_step != d.m * d.a.row_step || d.c.batch_step != d.m * d.c.row_step) return;
  d.m *= d.batch;
  d.batch = 1;
}

std::optional<std::string> fault(const Description& d) {
  if (d.m < 0 || d.k < 0 || d.n < 0 || d.batch < 0) return "sizes of at least 0";
  if (d.n > 1 && d.c.column_step != 1) return "c of column step 1";
  if (d.accumulate && d.c.type != MatrixType::kFloat32) return "float32 to accumulate in";
  if (d.epilogue.activation == MatmulActivation::kGeluSlope &&
      d.epilogue.preactivation == nullptr) {
    return "a preactivation for the slope of gelu";
  }
  return std::nullopt;
}

/// b for oneDNN: packed if that pays, else as it is. `once` keeps what is packed for this product
/// alone.
void prepare_right(Job& job, const void* b, MatrixType type, Buffer* weight,
                   std::unique_ptr<PackedMatrix>& once) {
  const Description& d = job.d;
  const bool widens = d.b.type == MatrixType::kBFloat16 && type == MatrixType::kFloat32;
  const bool packs = d.batch == 1 && !widens && (weight != nullptr || d.m >= kPackOnceRows) &&
                     plain(d.b, d.k, d.n);
  if (!packs) {
    job.b = ready(b, d.b, d.batch, d.k, d.n, type);
    return;
  }
  job.b.layout.type = type;
  if (weight == nullptr) {
    once = std::make_unique<PackedMatrix>(d.k, job.cut.panels, d.b, type, b);
    job.packed = once.get();
    return;
  }
  if (weight->packed == nullptr) weight->packed = std::make_shared<PackedWeight>();
  job.packed = &weight->packed->form(d.k, d.n, d.b, type, b);
}

/// Whether tiles have to be computed beside c: something follows the product that oneDNN does not
/// do, or c is not dense, which its fast products are for.
bool needs_finish(const Job& job, MatrixType type) {
  const Description& d = job.d;
  const MatmulEpilogue& after = d.epilogue;
  const bool strided = d.batch == 1 && (job.cut.panels.count > 1 || d.c.row_step != d.n);
  return job.plainly || strided || after.scale != 1.0f ||
         after.activation != MatmulActivation::kNone || after.row_scale != nullptr ||
         after.residual != nullptr ||
         (d.c.type == MatrixType::kBFloat16 && type == MatrixType::kFloat32);
}

void run(Description d, const void* a, const void* b, void* c, Buffer* weight) {
  fold_batch(d);
  const bool plainly = operations(d) <= kFewOperations;
  const MatrixType type = !plainly && d.product == MatrixType::kBFloat16 && has_bfloat16()
                              ? MatrixType::kBFloat16
                              : MatrixType::kFloat32;
  Job job{.d = d, .c = c, .plainly = plainly, .cut = Cut(d, weight != nullptr)};
  job.finish = needs_finish(job, type);
  std::unique_ptr<PackedMatrix> once;
  if (plainly) {
    job.a = ready(a, d.a, d.batch, d.m, d.k, type);
    job.b = ready_by_rows(b, d.b, d.batch, d.k, d.n);
  } else {
    job.a = d.batch > 1 ? ready(a, d.a, d.batch, d.m, d.k, type)
                        : ready_in_strips(a, d.a, d.m, d.k, type, job.cut.strip);
    prepare_right(job, b, type, weight, once);
  }
  run_job(job);
}

}  // namespace

Status matmul(const MatmulDescription& description, const void* a, const void* b, void* c,
              Buffer* weight) {
  if (const auto expected = fault(description)) {
    return invalid_argument("matmul: expected " + *expected + ", got another");
  }
  if (description.batch == 0 || description.m == 0 || description.n == 0) return {};
  try {
    run(description, a, b, c, weight);
    return {};
  } catch (const std::bad_alloc&) {
    return {StatusCode::kOutOfMemory, "matmul: expected memory for scratch, got none"};
  } catch (const std::exception& error) {
    return {StatusCode::kInternal, std::string("matmul: ") + error.what()};
  }
}

bool has_bfloat16() { return isa() == Isa::kAvx512Bf16; }

void column_sums(const void* x, MatrixType type, std::int64_t rows, std::int64_t columns,
                 float* sums) {
  constexpr std::int64_t kColumns = 128;
  constexpr std::int64_t kRows = 128;  // partial sums keep rounding errors small
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  parallel_for(columns, kColumns, [&](std::int64_t begin, std::int64_t end) {
    float partial[kColumns];
    float row[kColumns];
    const std::int64_t count = end - begin;
    std::fill_n(sums + begin, count, 0.0f);
    for (std::int64_t first = 0; first < rows; first += kRows) {
      std::fill_n(partial, count, 0.0f);
      for (std::int64_t i = first; i < std::min(rows, first + kRows); ++i) {
        const std::byte* values = offset(x, i * columns + begin, type);
        if (type == MatrixType::kBFloat16) {
          kernels.from_bfloat16(reinterpret_cast<const std::uint16_t*>(values), row, count);
          kernels.add(row, partial, count);
        } else {
          kernels.add(reinterpret_cast<const float*>(values), partial, count);
        }
      }
      kernels.add(partial, sums + begin, count);
    }
  });
}

void to_bfloat16(const float* x, std::uint16_t* y, std::int64_t count) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  parallel_for(count, kGrain, [=, &kernels](std::int64_t begin, std::int64_t end) {
    kernels.to_bfloat16(x + begin, y + begin, end - begin);
  });
}

void from_bfloat16(const std::uint16_t* x, float* y, std::int64_t count) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  parallel_for(count, kGrain, [=, &kernels](std::int64_t begin, std::int64_t end) {
    kernels.from_bfloat16(x + begin, y + begin, end - begin);
  });
}

}  // namespace dm::cpu
