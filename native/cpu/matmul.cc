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
#include "cpu/packed-weight.h"
#include "cpu/product.h"
#include "cpu/simd/matmul.h"
#include "cpu/tasks.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk of conversions
/// Whole matrices of a batch share a task up to so many operations.
constexpr std::int64_t kTaskOperations = 4'000'000;
/// From so many rows on, rearranging b for one product pays.
constexpr std::int64_t kPackOnceRows = 1024;
/// Enough tiles for a few threads to end at about the same time.
constexpr std::int64_t kEnoughTiles = 8;

using Description = MatmulDescription;

const std::byte* offset(const void* data, std::int64_t elements, MatrixType type) {
  return static_cast<const std::byte*>(data) + elements * static_cast<std::int64_t>(bytes_of(type));
}

std::byte* offset(void* data, std::int64_t elements, MatrixType type) {
  return static_cast<std::byte*>(data) + elements * static_cast<std::int64_t>(bytes_of(type));
}

// ---- operands

/// A matrix (or a batch of them) as oneDNN can read it.
struct Operand {
  const void* data = nullptr;
  MatrixLayout layout;
  std::unique_ptr<Block> copy;  ///< where the data is when it had to be converted
};

bool plain(const MatrixLayout& layout, std::int64_t rows, std::int64_t columns) {
  const bool by_rows =
      (columns == 1 || layout.column_step == 1) && (rows == 1 || layout.row_step >= columns);
  const bool by_columns =
      (rows == 1 || layout.row_step == 1) && (columns == 1 || layout.column_step >= rows);
  return by_rows || by_columns;
}

/// y[i] = x[i * step], converted.
void convert_row(const void* x, MatrixType from, std::int64_t step, void* y, MatrixType to,
                 std::int64_t count) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  if (step == 1 && from != to) {
    if (to == MatrixType::kBFloat16) {
      kernels.to_bfloat16(static_cast<const float*>(x), static_cast<std::uint16_t*>(y), count);
    } else {
      kernels.from_bfloat16(static_cast<const std::uint16_t*>(x), static_cast<float*>(y), count);
    }
    return;
  }
  if (step == 1) {
    std::memcpy(y, x, static_cast<std::size_t>(count) * bytes_of(to));
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    convert_row(offset(x, i * step, from), from, 1, offset(y, i, to), to, 1);
  }
}

/// The operand itself if oneDNN can read it as `type`, else a dense copy, by rows or by columns as
/// the original.
Operand ready(const void* data, const MatrixLayout& layout, std::int64_t batch, std::int64_t rows,
              std::int64_t columns, MatrixType type) {
  const bool good = layout.type == type && plain(layout, rows, columns);
  if (good) return {data, layout, nullptr};
  const bool by_rows = layout.row_step >= layout.column_step;
  const std::int64_t lines = by_rows ? rows : columns;
  const std::int64_t length = by_rows ? columns : rows;
  const std::int64_t line_step = by_rows ? layout.row_step : layout.column_step;
  const std::int64_t element_step = by_rows ? layout.column_step : layout.row_step;
  const std::int64_t matrices = layout.batch_step == 0 ? 1 : batch;
  auto copy =
      std::make_unique<Block>(static_cast<std::size_t>(matrices * lines * length) * bytes_of(type));
  std::byte* out = copy->data();
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, length));
  parallel_for(matrices * lines, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t from = i / lines * layout.batch_step + i % lines * line_step;
      convert_row(offset(data, from, layout.type), layout.type, element_step,
                  offset(static_cast<void*>(out), i * length, type), type, length);
    }
  });
  const std::int64_t batch_step = layout.batch_step == 0 ? 0 : lines * length;
  const MatrixLayout dense =
      by_rows ? row_major(columns, type, batch_step) : transposed(rows, type, batch_step);
  return {out, dense, std::move(copy)};
}

// ---- the tiles of one product

struct Tile {
  std::int64_t matrix, row, column;      ///< where it starts
  std::int64_t matrices, rows, columns;  ///< how much it is
  std::int64_t panel;                    ///< index of its columns
};

/// How a product is cut; a function of its sizes alone, and of whether b is a weight.
struct Cut {
  Panels panels;
  std::int64_t strip;  ///< rows of a tile
  std::int64_t strips;
  std::int64_t matrices = 1;  ///< matrices of a tile; then tiles are whole matrices

  Cut(const Description& d, bool weight) : panels(d.n) {
    const std::int64_t operations = 2 * d.m * d.n * std::max<std::int64_t>(1, d.k);
    if (d.batch > 1 && operations <= kTaskOperations / 2) {
      matrices = std::min(d.batch, kTaskOperations / operations);
    }
    if (operations <= kTaskOperations) {
      if (!weight) {  // a weight is packed in its panels whatever the rows
        panels.width = panels.last = d.n;
        panels.count = 1;
      }
      strip = d.m;
      strips = 1;
      return;
    }
    strip = 256;
    while (strip > 64 && d.batch * panels.count * ((d.m + strip - 1) / strip) < kEnoughTiles) {
      strip /= 2;
    }
    const std::int64_t share = (d.m + strip - 1) / strip;
    strip = std::min(d.m, ((d.m + share - 1) / share + 7) / 8 * 8);
    strips = (d.m + strip - 1) / strip;
  }

  std::int64_t groups(const Description& d) const { return (d.batch + matrices - 1) / matrices; }
  std::int64_t count(const Description& d) const { return groups(d) * panels.count * strips; }

  Tile tile(const Description& d, std::int64_t index) const {
    const std::int64_t s = index % strips;
    const std::int64_t panel = index / strips % panels.count;
    const std::int64_t group = index / strips / panels.count;
    Tile result{group * matrices, s * strip, panel * panels.width, 0, 0, 0, panel};
    result.matrices = std::min(matrices, d.batch - result.matrix);
    result.rows = std::min(strip, d.m - result.row);
    result.columns = std::min(panels.width, d.n - result.column);
    return result;
  }
};

/// Everything that the tiles of one product share.
struct Job {
  const Description& d;
  Operand a;
  Operand b;
  const PackedMatrix* packed = nullptr;
  void* c = nullptr;
  bool finish = false;  ///< tiles are computed beside c and finished by us
  Cut cut;

  ProductShape shape(const Tile& tile) const {
    ProductShape result;
    result.batch = tile.matrices;
    result.m = tile.rows;
    result.k = d.k;
    result.n = tile.columns;
    result.a = a.layout;
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
  const std::int64_t out = matrix * d.c.batch_step + row_index * d.c.row_step + column;
  std::byte* c = offset(job.c, out, d.c.type);
  if (d.accumulate) kernels.add(reinterpret_cast<const float*>(c), row, count);
  convert_row(row, MatrixType::kFloat32, 1, c, d.c.type, count);
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
  const MatrixLayout& a = job.a.layout;
  const MatrixLayout& b = job.b.layout;
  if (product == nullptr) {
    std::fill_n(beside, elements, 0.0f);
  } else {
    const void* left =
        offset(job.a.data, tile.matrix * a.batch_step + tile.row * a.row_step, a.type);
    const void* right =
        job.packed != nullptr
            ? job.packed->panel(tile.panel)
            : offset(job.b.data, tile.matrix * b.batch_step + tile.column * b.column_step, b.type);
    void* out = beside;
    if (!job.finish) {
      out = offset(job.c, tile.matrix * d.c.batch_step + tile.row * d.c.row_step + tile.column,
                   d.c.type);
    }
    const bool biased = !job.finish && d.epilogue.bias != nullptr;
    product->run(left, right, biased ? d.epilogue.bias + tile.column : nullptr, out,
                 beside + before);
  }
  if (!job.finish) return;
  for (std::int64_t i = 0; i < tile.matrices; ++i) {
    for (std::int64_t row = 0; row < tile.rows; ++row) {
      finish_row(job, tile.matrix + i, tile.row + row, tile.column, tile.columns,
                 beside + (i * tile.rows + row) * tile.columns, spare);
    }
  }
}

/// oneDNN has no fast product of several matrices in every layout; then tiles are single matrices.
bool supports_groups(const Job& job) {
  try {
    return product_of(job.shape(job.cut.tile(job.d, 0)))->optimised();
  } catch (const dnnl::error&) {
    return false;
  }
}

void run_job(Job& job) {
  const Description& d = job.d;
  const bool empty = d.k == 0;
  if (job.cut.matrices > 1 && !empty && !supports_groups(job)) job.cut.matrices = 1;
  run_tasks(job.cut.count(d), [&](std::int64_t index, ThreadScratch& memory) {
    const Tile tile = job.cut.tile(d, index);
    const auto product = empty ? nullptr : product_of(job.shape(tile));
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

void run(Description d, const void* a, const void* b, void* c, Buffer* weight) {
  fold_batch(d);
  const MatrixType type = d.product == MatrixType::kBFloat16 && has_bfloat16()
                              ? MatrixType::kBFloat16
                              : MatrixType::kFloat32;
  const MatmulEpilogue& after = d.epilogue;
  Job job{
      d, ready(a, d.a, d.batch, d.m, d.k, type), {}, nullptr, c, false, Cut(d, weight != nullptr)};
  job.finish = d.k == 0 || after.scale != 1.0f || after.activation != MatmulActivation::kNone ||
               after.row_scale != nullptr || after.residual != nullptr ||
               (d.c.type == MatrixType::kBFloat16 && type == MatrixType::kFloat32);

  std::unique_ptr<PackedMatrix> once;
  const bool packs = d.batch == 1 && d.k > 0 && job.cut.panels.count == Panels(d.n).count &&
                     (weight != nullptr || d.m >= kPackOnceRows) && plain(d.b, d.k, d.n);
  const bool widens = d.b.type == MatrixType::kBFloat16 && type == MatrixType::kFloat32;
  if (packs && !widens) {
    job.b.layout.type = type;
    if (weight != nullptr) {
      if (weight->packed == nullptr) weight->packed = std::make_shared<PackedWeight>();
      job.packed = &weight->packed->form(d.k, d.n, d.b, type, b);
    } else {
      once = std::make_unique<PackedMatrix>(d.k, d.n, d.b, type, b);
      job.packed = once.get();
    }
  } else {
    job.b = ready(b, d.b, d.batch, d.k, d.n, type);
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
