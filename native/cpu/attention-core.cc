// SPDX-License-Identifier: Apache-2.0
// Without windows the pool's chunks are heads of samples (and blocks of queries, where heads are few); with windows they are runs of
// windows with all their heads, which share rows of the grid.
#include "cpu/attention-core.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>

#include "core/buffer-pool.h"
#include "core/thread-pool.h"
#include "cpu/scratch.h"
#include "cpu/simd/attention.h"

namespace dm::cpu {

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr std::int64_t kFewQueries = 64;    // a block of queries is worth packing the keys again
constexpr std::int64_t kMostPartials = 64;  // of the table's gradient

/// Scratch of one chunk; null when there is no memory.
class ChunkScratch {
 public:
  explicit ChunkScratch(std::int64_t floats) : bytes_(static_cast<std::size_t>(floats) * 4) {
    data_ = static_cast<float*>(BufferPool::instance().allocate(bytes_));
  }
  ~ChunkScratch() { BufferPool::instance().release(data_, bytes_); }
  ChunkScratch(const ChunkScratch&) = delete;
  ChunkScratch& operator=(const ChunkScratch&) = delete;
  float* data() const { return data_; }

 private:
  std::size_t bytes_;
  float* data_;
};

Status finished(const std::atomic<bool>& out_of_memory) {
  if (!out_of_memory) return {};
  return {StatusCode::kOutOfMemory, "attention: expected memory for scratch, got none"};
}

/// One head of the rows of a sample, or of a window of it.
HeadRows head_rows(const TokenMatrix& matrix, std::int64_t first_row, std::int64_t column,
                   const std::int32_t* order) {
  const std::int64_t start = (first_row * matrix.stride + column) * (matrix.bfloat16 ? 2 : 4);
  return {static_cast<std::byte*>(matrix.data) + start, matrix.stride, order, matrix.bfloat16};
}

/// Where one call of a row kernel works.
struct Place {
  std::int64_t sample;
  std::int64_t window;
  std::int64_t head;
  std::int64_t first_query;
};

class Core {
 public:
  Core(const AttentionShape& shape, const TokenMatrix& query, const TokenMatrix& key,
       const TokenMatrix& value)
      : shape_(shape), plan_(*shape.windows), query_(query), key_(key), value_(value),
        biases_(windowed() && shape.table != nullptr ? shape.heads * bias_size() : 0) {
    if (biases_.data() != nullptr) make_biases();
  }

  bool windowed() const { return plan_.windows > 0; }
  std::int64_t bias_size() const { return plan_.tokens * plan_.row_stride; }

  Head head(const Place& place, std::int64_t queries) const {
    Head head{};
    head.queries = queries;
    head.keys = windowed() ? plan_.tokens : shape_.keys;
    head.width = shape_.head_width;
    head.scale = static_cast<float>(kLog2E / std::sqrt(static_cast<double>(shape_.head_width)));
    head.query = query_rows(query_, place);
    head.key = key_rows(key_, place);
    head.value = key_rows(value_, place);
    if (windowed()) {
      head.mask = plan_.mask(place.window);
      head.bias = biases_.data() == nullptr ? nullptr : biases_.data() + place.head * bias_size();
      head.bias_stride = plan_.row_stride;
    }
    return head;
  }

  HeadRows query_rows(const TokenMatrix& matrix, const Place& place) const {
    const std::int64_t column = place.head * shape_.head_width;
    if (windowed()) return head_rows(matrix, place.sample * shape_.queries, column, order(place));
    return head_rows(matrix, place.sample * shape_.queries + place.first_query, column, nullptr);
  }

  HeadRows key_rows(const TokenMatrix& matrix, const Place& place) const {
    return head_rows(matrix, place.sample * shape_.keys, place.head * shape_.head_width,
                     windowed() ? order(place) : nullptr);
  }

  std::int64_t log_sums_start(const Place& place) const {
    if (windowed()) {
      const std::int64_t window = place.sample * plan_.windows + place.window;
      return (window * shape_.heads + place.head) * plan_.tokens;
    }
    return (place.sample * shape_.heads + place.head) * shape_.queries + place.first_query;
  }

 private:
  const std::int32_t* order(const Place& place) const {
    return plan_.order.data() + place.window * plan_.tokens;
  }

  /// The table by head, query and key.
  void make_biases() {
    for (std::int64_t head = 0; head < shape_.heads; ++head) {
      float* out = biases_.data() + head * bias_size();
      std::fill(out, out + bias_size(), 0.0f);
      for (std::int64_t pair = 0; pair < plan_.tokens * plan_.tokens; ++pair) {
        const std::int64_t row = plan_.bias_index[static_cast<std::size_t>(pair)];
        out[pair / plan_.tokens * plan_.row_stride + pair % plan_.tokens] =
            shape_.table[row * shape_.heads + head] * static_cast<float>(kLog2E);
      }
    }
  }

  const AttentionShape& shape_;
  const WindowPlan& plan_;
  TokenMatrix query_, key_, value_;
  Scratch<float> biases_;
};

/// Windows of all samples in a chunk: as many for any number of threads.
std::int64_t window_grain(std::int64_t windows) {
  return std::max<std::int64_t>(4, (windows + kMostPartials - 1) / kMostPartials);
}

/// No keys: nothing attends, and nothing flows back.
void zero_rows(const TokenMatrix& matrix, std::int64_t rows, std::int64_t width) {
  const std::int64_t bytes = matrix.bfloat16 ? 2 : 4;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::byte* start = static_cast<std::byte*>(matrix.data) + row * matrix.stride * bytes;
    std::fill(start, start + width * bytes, std::byte{0});
  }
}

/// Adds the chunks' gradients of biases, in order, into rows of the table.
void add_table_gradient(const AttentionShape& shape, const float* partials, std::int64_t chunks,
                        float* table) {
  const WindowPlan& plan = *shape.windows;
  const std::int64_t size = plan.tokens * plan.row_stride;
  parallel_for(shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) {
      for (std::int64_t row = 0; row < plan.table_rows; ++row) table[row * shape.heads + head] = 0;
      for (std::int64_t pair = 0; pair < plan.tokens * plan.tokens; ++pair) {
        const std::int64_t at = pair / plan.tokens * plan.row_stride + pair % plan.tokens;
        float sum = 0;
        for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
          sum += partials[(chunk * shape.heads + head) * size + at];
        }
        const std::int64_t row = plan.bias_index[static_cast<std::size_t>(pair)];
        table[row * shape.heads + head] += sum;
      }
    }
  });
}

}  // namespace

TokenMatrix columns_from(const TokenMatrix& matrix, std::int64_t first) {
  return {static_cast<std::byte*>(matrix.data) + first * (matrix.bfloat16 ? 2 : 4), matrix.stride,
          matrix.bfloat16};
}

Status attention_forward(const AttentionShape& shape, const TokenMatrix& query,
                         const TokenMatrix& key, const TokenMatrix& value,
                         const TokenMatrix& output, float* log_sums) {
  if (shape.batch * shape.queries == 0) return {};
  if (shape.keys == 0) {
    zero_rows(output, shape.batch * shape.queries, shape.width());
    std::fill(log_sums, log_sums + shape.log_sums(), 0.0f);
    return {};
  }
  const AttentionKernels& kernels = DM_PICK(kAttention);
  const Core core(shape, query, key, value);
  std::atomic<bool> out_of_memory = false;
  const auto run = [&](const Place& place, std::int64_t queries, float* scratch) {
    const HeadForward call{core.head(place, queries), core.query_rows(output, place),
                           log_sums + core.log_sums_start(place)};
    kernels.forward(call, scratch);
  };
  if (core.windowed()) {
    const std::int64_t windows = shape.windows->windows;
    const std::int64_t tokens = shape.windows->tokens;
    const std::int64_t floats = kernels.forward_scratch(core.head({}, tokens));
    parallel_for(shape.batch * windows, window_grain(shape.batch * windows), [&](auto begin, auto end) {
      const ChunkScratch scratch(floats);
      if (scratch.data() == nullptr) out_of_memory = true;
      for (std::int64_t i = begin; i < end && scratch.data() != nullptr; ++i) {
        for (std::int64_t head = 0; head < shape.heads; ++head) {
          run({i / windows, i % windows, head, 0}, tokens, scratch.data());
        }
      }
    });
    return finished(out_of_memory);
  }
  const std::int64_t heads = shape.batch * shape.heads;
  // Each query is computed alone, so the cut may depend on the threads.
  const std::int64_t wanted = heads >= 4 * threads() ? 1 : (4 * threads() + heads - 1) / heads;
  const std::int64_t cuts =
      std::clamp<std::int64_t>(wanted, 1, (shape.queries + kFewQueries - 1) / kFewQueries);
  const std::int64_t block = (shape.queries + cuts - 1) / cuts;
  parallel_for(heads * cuts, 1, [&](std::int64_t begin, std::int64_t) {
    const std::int64_t head = begin / cuts;
    const std::int64_t first = begin % cuts * block;
    const std::int64_t queries = std::min(block, shape.queries - first);
    if (queries <= 0) return;
    const Place place{head / shape.heads, 0, head % shape.heads, first};
    const ChunkScratch scratch(kernels.forward_scratch(core.head(place, queries)));
    if (scratch.data() == nullptr) {
      out_of_memory = true;
      return;
    }
    run(place, queries, scratch.data());
  });
  return finished(out_of_memory);
}

Status attention_backward(const AttentionShape& shape, const TokenMatrix& query,
                          const TokenMatrix& key, const TokenMatrix& value,
                          const TokenMatrix& output, const TokenMatrix& output_gradient,
                          const float* log_sums, const AttentionGradients& gradients) {
  if (shape.keys == 0) {
    zero_rows(gradients.query, shape.batch * shape.queries, shape.width());
    return {};
  }
  const AttentionKernels& kernels = DM_PICK(kAttention);
  const Core core(shape, query, key, value);
  const bool windowed = core.windowed();
  const std::int64_t windows = windowed ? shape.windows->windows : 1;
  const std::int64_t queries = windowed ? shape.windows->tokens : shape.queries;
  const std::int64_t items = windowed ? shape.batch * windows : shape.batch * shape.heads;
  const std::int64_t grain = windowed ? window_grain(items) : 1;
  const std::int64_t partial = gradients.table == nullptr ? 0 : shape.heads * core.bias_size();
  const std::int64_t chunks = chunk_count(items, grain);
  const Scratch<float> partials(chunks * partial);
  std::atomic<bool> out_of_memory = false;
  parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
    const ChunkScratch scratch(kernels.backward_scratch(core.head({}, queries)));
    if (scratch.data() == nullptr) {
      out_of_memory = true;
      return;
    }
    float* biases = partial == 0 ? nullptr : partials.data() + begin / grain * partial;
    std::fill(biases, biases + partial, 0.0f);
    const auto run = [&](const Place& place) {
      HeadBackward call{};
      call.head = core.head(place, queries);
      call.output = core.query_rows(output, place);
      call.output_gradient = core.query_rows(output_gradient, place);
      call.log_sums = log_sums + core.log_sums_start(place);
      call.query_gradient = core.query_rows(gradients.query, place);
      call.key_gradient = core.key_rows(gradients.key, place);
      call.value_gradient = core.key_rows(gradients.value, place);
      if (biases != nullptr) call.bias_gradient = biases + place.head * core.bias_size();
      kernels.backward(call, scratch.data());
    };
    for (std::int64_t i = begin; i < end; ++i) {
      if (!windowed) {
        run({i / shape.heads, 0, i % shape.heads, 0});
        continue;
      }
      for (std::int64_t head = 0; head < shape.heads; ++head) run({i / windows, i % windows, head, 0});
    }
  });
  if (out_of_memory) return finished(out_of_memory);
  if (gradients.table != nullptr) add_table_gradient(shape, partials.data(), chunks, gradients.table);
  return {};
}

}  // namespace dm::cpu
