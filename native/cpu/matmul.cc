// SPDX-License-Identifier: Apache-2.0
// Products as tiles of registers: a is rearranged once, b panel by panel, and each row of c is finished while it is in the cache.
//
// m, k, n as in matmul.h. A sliver is as many rows as a tile has, a panel a range of columns, a block a range of k. All cuts depend on
// the sizes alone. Measured on one core of an EPYC with AVX-512, the tiles run at the rate of multiply-adds from registers
// (docs/decisions/0006-matrix-products.md), so what is left to win is outside them.
#include "cpu/matmul.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>
#include <optional>
#include <string>

#include "core/thread-pool.h"
#include "cpu/scratch.h"
#include "cpu/simd/gemm.h"
#include "cpu/simd/matmul.h"
#include "cpu/tasks.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk of conversions
/// Words of k in a block: a sliver of them fits the first-level cache, a panel the second.
constexpr std::int64_t kBlockWords = 640;
/// Columns of a panel. The wider, the less often a is read; a block of the widest fills half of a second-level cache.
constexpr std::int64_t kPanels[] = {256, 128, 64};
/// Enough tasks for a few threads to end at about the same time; and for many, where each still has rows enough that rearranging its
/// panel does not count.
constexpr std::int64_t kFewTasks = 6;
constexpr std::int64_t kManyTasks = 32;
constexpr std::int64_t kGroupRows = 512;
/// Slivers that are rearranged together: of a transposed matrix, a piece of each of its rows.
constexpr std::int64_t kSliversAtOnce = 8;
/// A chunk of tasks, in operations: waking a thread costs as much.
constexpr std::int64_t kTaskOperations = 200'000;

using Description = MatmulDescription;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

const std::byte* offset(const void* data, std::int64_t elements, MatrixType type) {
  return static_cast<const std::byte*>(data) + elements * bytes_of(type);
}

std::byte* offset(void* data, std::int64_t elements, MatrixType type) {
  return static_cast<std::byte*>(data) + elements * bytes_of(type);
}

/// y = x, converted.
void convert_row(const void* x, MatrixType from, void* y, MatrixType to, std::int64_t count) {
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  if (from == to) {
    std::memcpy(y, x, static_cast<std::size_t>(count * bytes_of(to)));
  } else if (to == MatrixType::kBFloat16) {
    kernels.to_bfloat16(static_cast<const float*>(x), static_cast<std::uint16_t*>(y), count);
  } else {
    kernels.from_bfloat16(static_cast<const std::uint16_t*>(x), static_cast<float*>(y), count);
  }
}

// ---- how a product is cut

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Part `index` of `parts` parts of about the same size.
Range part_of(std::int64_t count, std::int64_t index, std::int64_t parts) {
  return {count * index / parts, count * (index + 1) / parts};
}

/// The widest panel that leaves tasks enough.
std::int64_t panel_of(const Description& d) {
  const std::int64_t groups = std::max<std::int64_t>(1, d.m / kGroupRows);
  for (const std::int64_t panel : kPanels) {
    if (d.batch * divide_up(d.n, panel) * groups >= kFewTasks) return panel;
  }
  return std::end(kPanels)[-1];
}

struct Cut {
  std::int64_t word_elements;  ///< elements of k in a word of 32 bits
  std::int64_t words, blocks;
  std::int64_t slivers;      ///< of one matrix
  std::int64_t sliver_rows;  ///< of all but the last
  std::int64_t panel, panels;
  std::int64_t groups;  ///< ranges of slivers that are tasks of their own

  Cut(const Description& d, MatrixType type, const GemmKernels& kernels)
      : word_elements(type == MatrixType::kBFloat16 ? 2 : 1),
        words(divide_up(d.k, word_elements)),
        blocks(std::max<std::int64_t>(1, divide_up(words, kBlockWords))),
        slivers(divide_up(d.m, kernels.tile_rows)),
        sliver_rows(divide_up(d.m, slivers)),
        panel(panel_of(d)),
        panels(divide_up(d.n, panel)),
        groups(std::clamp<std::int64_t>(divide_up(kManyTasks, d.batch * panels), 1,
                                        std::max<std::int64_t>(1, d.m / kGroupRows))) {}

  std::int64_t tasks(const Description& d) const { return d.batch * panels * groups; }
  Range block_words(std::int64_t block) const { return part_of(words, block, blocks); }
  Range block_elements(std::int64_t block, std::int64_t k) const {
    const Range range = block_words(block);
    return {range.begin * word_elements, std::min(k, range.end * word_elements)};
  }
};

/// Everything that the tasks of one product share.
struct Job {
  const Description& d;
  MatrixType type;
  const GemmKernels& kernels;
  Cut cut;
  const void* b;
  void* c;
  const float* a = nullptr;  ///< [matrices, blocks, slivers, words of the block, sliver]
  std::int64_t a_matrix = 0;  ///< words of one matrix; 0 if all are the same
  bool finish = false;        ///< more than a product in float32

  Range sliver_rows(std::int64_t sliver) const {
    const std::int64_t begin = std::min(d.m, sliver * cut.sliver_rows);
    return {begin, std::min(d.m, begin + cut.sliver_rows)};
  }
  std::int64_t sliver_place(std::int64_t block, std::int64_t sliver) const {
    const Range words = cut.block_words(block);
    return (words.begin * cut.slivers + sliver * words.size()) * kernels.sliver;
  }
  auto pack() const {
    return type == MatrixType::kBFloat16 ? kernels.pack_bfloat16 : kernels.pack_float32;
  }
  auto multiply() const {
    return type == MatrixType::kBFloat16 ? kernels.multiply_bfloat16 : kernels.multiply_float32;
  }
};

GemmLines lines_at(const void* data, const MatrixLayout& layout, std::int64_t place,
                   std::int64_t line_step, std::int64_t k_step) {
  return {offset(data, place, layout.type), layout.type == MatrixType::kBFloat16, line_step, k_step};
}

/// Rearranges all of a.
void pack_left(const Job& job, const void* a, float* out) {
  const MatrixLayout& layout = job.d.a;
  const std::int64_t matrices = job.a_matrix == 0 ? 1 : job.d.batch;
  const std::int64_t groups = divide_up(job.cut.slivers, kSliversAtOnce);
  const std::int64_t size = job.cut.words * job.kernels.sliver * kSliversAtOnce;
  parallel_for(matrices * groups, divide_up(kGrain, std::max<std::int64_t>(1, size)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t matrix = i / groups;
                   const std::int64_t sliver = i % groups * kSliversAtOnce;
                   const std::int64_t first = job.sliver_rows(sliver).begin;
                   const std::int64_t last =
                       job.sliver_rows(std::min(sliver + kSliversAtOnce, job.cut.slivers) - 1).end;
                   for (std::int64_t block = 0; block < job.cut.blocks; ++block) {
                     const Range k = job.cut.block_elements(block, job.d.k);
                     const std::int64_t place = matrix * layout.batch_step +
                                                first * layout.row_step + k.begin * layout.column_step;
                     job.pack()(lines_at(a, layout, place, layout.row_step, layout.column_step),
                                last - first, k.size(), job.cut.sliver_rows, job.kernels.sliver,
                                out + matrix * job.a_matrix + job.sliver_place(block, sliver));
                   }
                 }
               });
}

// ---- tasks

/// One row of c: `row` is the product, then what is made of it.
void finish_row(const Job& job, std::int64_t matrix, std::int64_t row_index, Range columns, float* row) {
  const Description& d = job.d;
  const MatmulEpilogue& after = d.epilogue;
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  const std::int64_t count = columns.size();
  const std::int64_t global_row = matrix * d.m + row_index;
  const std::int64_t place = global_row * d.n + columns.begin;
  FinishedRow finish{.bias = after.bias == nullptr ? nullptr : after.bias + columns.begin,
                     .count = count};
  if (after.activation != MatmulActivation::kNone) {
    kernels.finish(finish, row, row, false);
    finish.bias = nullptr;
    const MatrixType type = after.preactivation_type;
    const auto saved_at = [=](void* data) { return data == nullptr ? nullptr : offset(data, place, type); };
    std::byte* preactivation = saved_at(after.preactivation);
    if (after.activation == MatmulActivation::kGeluSlope) {
      kernels.multiply_gelu_slope(preactivation, type == MatrixType::kBFloat16, row,
                                  saved_at(after.activated), count);
    } else {
      if (preactivation != nullptr) convert_row(row, MatrixType::kFloat32, preactivation, type, count);
      kernels.gelu(row, row, count);
    }
  }
  if (after.row_scale != nullptr) finish.factor = after.row_scale[global_row / after.rows_per_scale];
  if (after.residual != nullptr) finish.residual = after.residual + place;
  std::byte* c = offset(job.c, matrix * d.c.batch_step + row_index * d.c.row_step + columns.begin,
                        d.c.type);
  if (d.accumulate) finish.sum = reinterpret_cast<const float*>(c);
  kernels.finish(finish, row, c, d.c.type == MatrixType::kBFloat16);
}

/// A panel of columns of a range of slivers of one matrix.
class Task {
 public:
  Task(const Job& job, std::int64_t index)
      : job_(job),
        matrix_(index / job.cut.panels / job.cut.groups),
        // Panels of the same rows follow each other, while those rows are in a cache.
        slivers_(part_of(job.cut.slivers, index / job.cut.panels % job.cut.groups, job.cut.groups)) {
    const std::int64_t first = index % job.cut.panels * job.cut.panel;
    columns_ = {first, std::min(job.d.n, first + job.cut.panel)};
  }

  void run(ThreadScratch& memory) {
    const std::int64_t block = divide_up(job_.cut.words, job_.cut.blocks);
    const std::int64_t panel = job_.cut.panel;
    const std::int64_t first_row = job_.sliver_rows(slivers_.begin).begin;
    const std::int64_t last_row = job_.sliver_rows(slivers_.end - 1).end;
    // Sums wait beside c for the blocks to come.
    const std::int64_t rows = !job_.finish           ? 0
                              : job_.cut.blocks == 1 ? job_.kernels.tile_rows
                                                     : last_row - first_row;
    auto* packed = reinterpret_cast<float*>(memory.bytes(
        static_cast<std::size_t>((block + rows) * panel) * sizeof(float)));
    float* beside = packed + block * panel;
    for (std::int64_t i = 0; i < job_.cut.blocks; ++i) {
      pack_right(i, packed);
      for (std::int64_t sliver = slivers_.begin; sliver < slivers_.end; ++sliver) {
        const Range own = job_.sliver_rows(sliver);
        float* sums = beside + (job_.cut.blocks == 1 ? 0 : (own.begin - first_row) * panel);
        multiply_sliver(i, sliver, packed, sums);
        if (!job_.finish || i + 1 < job_.cut.blocks) continue;
        for (std::int64_t row = own.begin; row < own.end; ++row) {
          finish_row(job_, matrix_, row, columns_, sums + (row - own.begin) * panel);
        }
      }
    }
  }

 private:
  void pack_right(std::int64_t block, float* out) const {
    const MatrixLayout& layout = job_.d.b;
    const Range k = job_.cut.block_elements(block, job_.d.k);
    const std::int64_t width = job_.kernels.tile_columns;
    const std::int64_t place = matrix_ * layout.batch_step + k.begin * layout.row_step +
                               columns_.begin * layout.column_step;
    job_.pack()(lines_at(job_.b, layout, place, layout.column_step, layout.row_step), columns_.size(),
                k.size(), width, width, out);
  }

  void multiply_sliver(std::int64_t block, std::int64_t sliver, const float* packed, float* sums) const {
    const Range rows = job_.sliver_rows(sliver);
    const std::int64_t words = job_.cut.block_words(block).size();
    const std::int64_t width = job_.kernels.tile_columns;
    GemmTile tile{};
    tile.rows = static_cast<int>(rows.size());
    tile.words = words;
    tile.a = job_.a + matrix_ * job_.a_matrix + job_.sliver_place(block, sliver);
    tile.add = block > 0 || (!job_.finish && job_.d.accumulate);
    tile.c_step = job_.finish ? job_.cut.panel : job_.d.c.row_step;
    const std::int64_t place = matrix_ * job_.d.c.batch_step + rows.begin * job_.d.c.row_step;
    for (std::int64_t column = columns_.begin; column < columns_.end; column += width) {
      tile.columns = static_cast<int>(std::min(width, columns_.end - column));
      tile.b = packed + (column - columns_.begin) * words;
      tile.c = job_.finish ? sums + (column - columns_.begin)
                           : static_cast<float*>(job_.c) + place + column;
      job_.multiply()(tile);
    }
  }

  const Job& job_;
  std::int64_t matrix_;
  Range slivers_;
  Range columns_;
};

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

bool needs_finish(const Description& d) {
  const MatmulEpilogue& after = d.epilogue;
  return d.c.type == MatrixType::kBFloat16 || after.bias != nullptr ||
         after.activation != MatmulActivation::kNone || after.row_scale != nullptr ||
         after.residual != nullptr;
}

void run(Description d, const void* a, const void* b, void* c) {
  fold_batch(d);
  const MatrixType type = d.product == MatrixType::kBFloat16 && has_bfloat16()
                              ? MatrixType::kBFloat16
                              : MatrixType::kFloat32;
  const GemmKernels& kernels = DM_PICK(kGemm);
  Job job{.d = d, .type = type, .kernels = kernels, .cut = Cut(d, type, kernels), .b = b, .c = c};
  job.finish = needs_finish(d);
  const std::int64_t size = job.cut.words * job.cut.slivers * kernels.sliver;
  const bool repeats = d.batch == 1 || d.a.batch_step == 0;
  job.a_matrix = repeats ? 0 : size;
  const Scratch<float> packed(repeats ? size : d.batch * size);
  pack_left(job, a, packed.data());
  job.a = packed.data();
  const std::int64_t tasks = job.cut.tasks(d);
  const std::int64_t operations = 2 * d.batch * d.m * d.n * std::max<std::int64_t>(1, d.k) / tasks;
  const std::int64_t grain = divide_up(kTaskOperations, std::max<std::int64_t>(1, operations));
  run_tasks(tasks, grain, [&](std::int64_t index, ThreadScratch& memory) {
    Task(job, index).run(memory);
  });
}

}  // namespace

Status matmul(const MatmulDescription& description, const void* a, const void* b, void* c) {
  if (const auto expected = fault(description)) {
    return invalid_argument("matmul: expected " + *expected + ", got another");
  }
  if (description.batch == 0 || description.m == 0 || description.n == 0) return {};
  try {
    run(description, a, b, c);
    return {};
  } catch (const std::bad_alloc&) {
    return {StatusCode::kOutOfMemory, "matmul: expected memory for scratch, got none"};
  }
}

bool has_bfloat16() { return DM_PICK(kGemm).multiply_bfloat16 != nullptr; }

void column_sums(const void* x, MatrixType type, std::int64_t rows, std::int64_t columns,
                 float* sums) {
  constexpr std::int64_t kColumns = 256;
  constexpr std::int64_t kRows = 128;  // partial sums keep rounding errors small
  const MatmulKernels& kernels = DM_PICK(kMatmul);
  parallel_for(columns, kColumns, [&](std::int64_t begin, std::int64_t end) {
    float partial[kColumns];
    const std::int64_t count = end - begin;
    std::fill_n(sums + begin, count, 0.0f);
    for (std::int64_t first = 0; first < rows; first += kRows) {
      std::fill_n(partial, count, 0.0f);
      kernels.add_rows(offset(x, first * columns + begin, type), type == MatrixType::kBFloat16, columns,
                       std::min(kRows, rows - first), count, partial);
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

}  // namespace dm::cpu
