// SPDX-License-Identifier: Apache-2.0
// TopK on a device: buffers and numbers as in cpu/top-k.cc. What the fewest operations do is what runs: k looks at a row, a selection by digits, or
// for very many of a row a sort.
#include "cuda/top-k.cuh"

#include <algorithm>
#include <bit>
#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/core/launch-radix-sort.cuh"
#include "cuda/families.h"
#include "cuda/top-k-select.cuh"

namespace dm::cuda {

namespace {

/// A selection reads a row five times and takes some 50 operations an element each time it counts a digit, a look about 8: up to 16 looks are
/// less, while rows stay in the cache.
constexpr std::int64_t kMostLooks = 16;
/// Elements of a longer row that one block looks at in the time of the ten launches of a selection by several blocks.
constexpr std::int64_t kMostLookedAt = 1 << 17;
/// A row that one block selects from in that time, and the least of a block where there are several.
constexpr std::int64_t kRowOfBlock = 32768;
constexpr std::int64_t kLeastPart = 8192;
/// Elements that are sorted at once, of 16 bytes of scratch each; one row at least.
constexpr std::int64_t kSortedAtOnce = 1 << 24;

/// The blocks of a row: as many as fill the device twice.
std::int64_t parts_of(const Device& device, std::int64_t rows, std::int64_t width) {
  if (width <= kRowOfBlock) return 1;
  const std::int64_t wanted = blocks_for(2 * device.multiprocessors(), rows);
  return std::min({wanted, blocks_for(width, kLeastPart), std::int64_t{kMostTopParts}});
}

template <class T>
void select_by_parts(Device& device, SelectTop<T> p, std::int64_t rows) {
  p.blocks = rows * p.parts.value;
  ScratchPlan plan;
  const std::size_t thresholds = plan.add(rows * static_cast<std::int64_t>(sizeof(TopThreshold)));
  const std::size_t counts = plan.add(p.blocks * kDigits * 4);
  const std::size_t chosen = plan.add(2 * p.blocks * 4);
  const std::size_t ranks = plan.add(rows * p.k * 8);
  if (!plan.take(device)) return;
  p.thresholds = static_cast<TopThreshold*>(plan.at(thresholds));
  p.counts = static_cast<std::int32_t*>(plan.at(counts));
  p.chosen = static_cast<std::int32_t*>(plan.at(chosen));
  p.ranks = static_cast<std::uint64_t*>(plan.at(ranks));
  const Grid parts{.blocks = p.blocks, .threads = kDigitThreads, .shared_bytes = kTopSelectShared};
  Grid of_rows = parts;
  of_rows.blocks = rows;
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    launch<count_top_parts<T>>(device, parts, p, shift);
    launch<pick_top_digits<T>>(device, of_rows, p, shift);
  }
  launch<count_top_chosen<T>>(device, parts, p);
  launch<collect_top_parts<T>>(device, parts, p);
  of_rows.shared_bytes += static_cast<std::size_t>(p.ordered) * sizeof(std::uint64_t);
  launch<order_top_rows<T>>(device, of_rows, p);
}

template <class T>
void select_top(Device& device, const TopK<T>& top, std::int64_t rows) {
  const std::int64_t parts = parts_of(device, rows, top.width);
  SelectTop<T> p{.x = top.x,
                 .values = top.values,
                 .indices = top.indices,
                 .width = top.width,
                 .k = top.k,
                 .ordered = static_cast<int>(std::bit_ceil(static_cast<unsigned>(top.k))),
                 .parts = Divisor(parts),
                 .part = static_cast<int>(blocks_for(top.width, parts)),
                 .thresholds = nullptr,
                 .counts = nullptr,
                 .chosen = nullptr,
                 .ranks = nullptr,
                 .blocks = rows};
  if (parts > 1) {
    select_by_parts(device, p, rows);
    return;
  }
  const std::size_t shared_bytes =
      kTopSelectShared + static_cast<std::size_t>(p.ordered) * sizeof(std::uint64_t);
  launch<select_top_rows<T>>(
      device, {.blocks = rows, .threads = kDigitThreads, .shared_bytes = shared_bytes}, p);
}

template <class T>
void sort_top(Device& device, TopK<T> top, std::int64_t rows) {
  const std::int64_t at_once = std::min(rows, std::max<std::int64_t>(1, kSortedAtOnce / top.width));
  ScratchPlan plan;
  const RadixSort sort(plan, at_once, top.width, 32);
  if (!plan.take(device)) return;
  for (std::int64_t row = 0; row < rows; row += at_once) {
    const std::int64_t here = std::min(at_once, rows - row);
    const T* x = top.x + row * top.width;
    launch_elementwise(device, TopKeys<T>{x, sort.keys()}, here * top.width, false);
    const RadixSort::Sorted sorted = sort.run(device, here);
    const TakeTop<T> take{.x = x,
                          .places = sorted.places,
                          .values = top.values + row * top.k,
                          .indices = top.indices + row * top.k,
                          .width = top.width,
                          .k = Divisor(top.k)};
    launch_elementwise(device, take, here * top.k, false);
  }
}

template <class T>
Status top_rows(Device& device, Arguments& in) {
  const std::int64_t rows = in.count(1);
  const std::int64_t width = in.count(2);
  const std::int64_t k = in.count(3);
  if (k > width || width > INT32_MAX) in.fail("k of at most the width", std::to_string(k));
  const TopK<T> p{.x = in.buffer<T>(0, in.elements({rows, width})),
                  .values = in.buffer<T>(1, in.elements({rows, k})),
                  .indices = in.buffer<std::int32_t>(2, in.elements({rows, k})),
                  .width = static_cast<int>(width),
                  .k = static_cast<int>(k)};
  if (!in.ok() || rows * k == 0) return in.status();
  if (k <= kMostLooks && (width <= kRowOfBlock || k * width <= kMostLookedAt)) {
    launch<top_k<T>>(device, {.blocks = rows, .threads = kTopThreads, .shared_bytes = kTopShared},
                     p);
  } else if (k <= kMostOrdered) {
    select_top(device, p, rows);
  } else {
    sort_top(device, p, rows);
  }
  return {};
}

// buffers: x [R, C], values [R, k], indices int32 [R, k]. numbers: [dtype, R, C, k]; float32 or int32. Sorted, and of equal elements the one
// of lower index first; NaN after all numbers.
Status top(Device& device, const OpArguments& arguments) {
  Arguments in("TopK", arguments, 3, 4);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kFloat32) return top_rows<float>(device, in);
  if (dtype == DType::kInt32) return top_rows<std::int32_t>(device, in);
  in.fail("float32 or int32", "bool");
  return in.status();
}

}  // namespace

void register_top_k(DeviceOpTable& table) { table.add("TopK", top); }

}  // namespace dm::cuda
