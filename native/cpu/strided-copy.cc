// SPDX-License-Identifier: Apache-2.0
// A strided view of a tensor, as a tensor: Transpose, Slice, StridedSlice, Reverse, Tile and BroadcastTo of native/src/kernels.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "core/arguments.h"
#include "core/strided-view.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk
constexpr std::int64_t kTile = 32;      // elements along the sides of a tile
constexpr std::int64_t kStrip = 512;    // columns of a row of tiles

/// y[i] = x[i * step].
template <typename T>
void copy_row(const T* x, std::int64_t step, T* y, std::int64_t count) {
  if (step == 1) {
    if (count >= 16) {
      std::memcpy(y, x, static_cast<std::size_t>(count) * sizeof(T));
    } else {
      for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
    }
  } else if (step == 0) {
    std::fill_n(y, count, *x);
  } else {
    for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * step];
  }
}

/// Elements of the view in their order, any part of a row at a time.
template <typename T>
void copy_rows(const StridedView& view, const T* x, T* y) {
  const std::int64_t row = view.row();
  const std::int64_t step = view.row_step();
  parallel_for(view.count, kGrain, [=, &view](std::int64_t begin, std::int64_t end) {
    RowWalker walker(view, 1, begin / row);
    std::int64_t at = begin % row;
    for (std::int64_t i = begin; i < end; walker.next(), at = 0) {
      const std::int64_t length = std::min(row - at, end - i);
      copy_row(x + walker.offset() + at * step, step, y + i, length);
      i += length;
    }
  });
}

/// y[i * y_step + j] = x[j * x_step + i] for rows i and columns j of a tile.
template <typename T>
void transpose_tile(const T* x, std::int64_t x_step, T* y, std::int64_t y_step, std::int64_t rows,
                    std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) y[i * y_step + j] = x[j * x_step + i];
  }
}

#if defined(__SSE2__)
/// Four by four at a time. The words are moved as floats, whatever they mean.
void transpose_words(const std::uint32_t* x, std::int64_t x_step, std::uint32_t* y,
                     std::int64_t y_step, std::int64_t rows, std::int64_t columns) {
  const std::int64_t whole_rows = rows / 4 * 4;
  const std::int64_t whole_columns = columns / 4 * 4;
  const auto* from = reinterpret_cast<const float*>(x);
  auto* to = reinterpret_cast<float*>(y);
  for (std::int64_t i = 0; i < whole_rows; i += 4) {
    for (std::int64_t j = 0; j < whole_columns; j += 4) {
      const float* block = from + j * x_step + i;
      __m128 r0 = _mm_loadu_ps(block);
      __m128 r1 = _mm_loadu_ps(block + x_step);
      __m128 r2 = _mm_loadu_ps(block + 2 * x_step);
      __m128 r3 = _mm_loadu_ps(block + 3 * x_step);
      _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
      float* out = to + i * y_step + j;
      _mm_storeu_ps(out, r0);
      _mm_storeu_ps(out + y_step, r1);
      _mm_storeu_ps(out + 2 * y_step, r2);
      _mm_storeu_ps(out + 3 * y_step, r3);
    }
  }
  transpose_tile(x + whole_columns * x_step, x_step, y + whole_columns, y_step, whole_rows,
                 columns - whole_columns);
  transpose_tile(x + whole_rows, x_step, y + whole_rows * y_step, y_step, rows - whole_rows,
                 columns);
}
#endif

template <typename T>
void tile(const T* x, std::int64_t x_step, T* y, std::int64_t y_step, std::int64_t rows,
          std::int64_t columns) {
#if defined(__SSE2__)
  if constexpr (sizeof(T) == 4) {
    transpose_words(x, x_step, y, y_step, rows, columns);
    return;
  }
#endif
  transpose_tile(x, x_step, y, y_step, rows, columns);
}

/// Where an inner axis of the input is an outer axis of the view: tiles over these two, read and written by cache lines.
template <typename T>
void copy_tiles(const StridedView& view, std::size_t axis, const T* x, T* y) {
  // The axis is moved next to the row, so that the walk is over the others.
  StridedView moved = view;
  std::array<std::int64_t, kMaxViewAxes> y_steps{};  // of the moved axes
  std::int64_t y_step = 1;
  for (std::size_t i = view.rank; i-- > 0;) {
    y_steps[i] = y_step;
    y_step *= view.sizes[i];
  }
  const std::size_t last = view.rank - 2;
  const auto rotate = [=](auto& list) {
    std::rotate(list.begin() + static_cast<std::ptrdiff_t>(axis),
                list.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                list.begin() + static_cast<std::ptrdiff_t>(last) + 1);
  };
  rotate(moved.sizes);
  rotate(moved.steps);
  rotate(y_steps);
  StridedView target = moved;
  target.steps = y_steps;
  target.offset = 0;

  const std::int64_t rows = moved.sizes[last];
  const std::int64_t columns = moved.row();
  const std::int64_t down = chunk_count(rows, kTile);
  const std::int64_t strips = down * chunk_count(columns, kStrip);
  const std::int64_t planes = view.count / (rows * columns);
  const std::int64_t elements = std::min(rows, kTile) * std::min(columns, kStrip);
  parallel_for(planes * strips, std::max<std::int64_t>(1, kGrain / elements),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t strip = begin; strip < end; ++strip) {
                   const std::int64_t row = strip % down * kTile;
                   const std::int64_t first = strip % strips / down * kStrip;
                   const T* from = x + RowWalker(moved, 2, strip / strips).offset() + row;
                   T* to = y + RowWalker(target, 2, strip / strips).offset() + row * y_steps[last];
                   const std::int64_t stop = std::min(columns, first + kStrip);
                   for (std::int64_t column = first; column < stop; column += kTile) {
                     tile(from + column * moved.row_step(), moved.row_step(), to + column,
                          y_steps[last], std::min(kTile, rows - row),
                          std::min(kTile, stop - column));
                   }
                 }
               });
}

template <typename T>
Status copy_view(Arguments& in, const StridedView& view) {
  const T* x = in.buffer<T>(0, in.count(1));
  T* y = in.buffer<T>(1, view.count);
  if (!in.ok()) return in.status();
  if (view.count == 0) return {};
  if (view.row_step() != 1 && view.row_step() != 0) {
    for (std::size_t axis = 0; axis + 1 < view.rank; ++axis) {
      if (view.steps[axis] == 1) {
        copy_tiles(view, axis, x, y);
        return {};
      }
    }
  }
  copy_rows(view, x, y);
  return {};
}

// buffers: x, y. numbers: [elementBytes, xCount, offset, axes, sizes… (axes), steps… (axes)]; elementBytes 1 or 4. Element (i, j, …) of y
// is element offset + i * steps[0] + j * steps[1] + … of x.
Status strided_copy(const OpArguments& arguments) {
  Arguments in("DmStridedCopy", arguments, 2, 4);
  const std::int64_t size = in.count(0);
  const StridedView view = read_strided_view(in, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return copy_view<std::uint32_t>(in, view);
  if (size == 1) return copy_view<std::uint8_t>(in, view);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_strided_copy(OpTable& table) { table.add("DmStridedCopy", strided_copy); }

}  // namespace dm::cpu
