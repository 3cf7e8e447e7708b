// SPDX-License-Identifier: Apache-2.0
// Rearranging panels, in parallel.
#include "cpu/packed-weight.h"

#include <algorithm>
#include <new>

#include "core/buffer-pool.h"
#include "core/thread-pool.h"
#include "cpu/product.h"
#include "cpu/tasks.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kPanelColumns = 256;
constexpr std::int64_t kColumnUnit = 64;  // what oneDNN's kernels like to cut columns into

std::size_t padded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Panels Panels::of_weight(std::int64_t columns) {
  const std::int64_t wanted =
      std::max<std::int64_t>(1, (columns + kPanelColumns / 2) / kPanelColumns);
  const std::int64_t share = (columns + wanted - 1) / wanted;
  const std::int64_t width =
      std::min(columns, (share + kColumnUnit - 1) / kColumnUnit * kColumnUnit);
  const std::int64_t count = (columns + width - 1) / width;
  return {width, count, columns - (count - 1) * width};
}

Block::Block(std::size_t bytes) : bytes_(bytes), data_(BufferPool::instance().allocate(bytes)) {
  if (bytes > 0 && data_ == nullptr) throw std::bad_alloc();
}

Block::~Block() { BufferPool::instance().release(data_, bytes_); }

PackedMatrix::PackedMatrix(std::int64_t k, const Panels& panels, const MatrixLayout& source,
                           MatrixType type, const void* values) {
  const auto whole = packing_of(k, panels.width, source, type);
  const auto rest = packing_of(k, panels.last, source, type);
  panel_bytes_ = padded(std::max(whole->bytes(), rest->bytes()));
  block_ = std::make_unique<Block>(panel_bytes_ * static_cast<std::size_t>(panels.count));
  const std::int64_t step =
      panels.width * source.column_step * static_cast<std::int64_t>(bytes_of(source.type));
  run_tasks(panels.count, [&](std::int64_t index, ThreadScratch& scratch) {
    const PanelPacking& packing = index + 1 < panels.count ? *whole : *rest;
    packing.run(static_cast<const std::byte*>(values) + index * step,
                block_->data() + static_cast<std::size_t>(index) * panel_bytes_,
                scratch.bytes(packing.scratch_bytes()));
  });
}

const void* PackedMatrix::panel(std::int64_t index) const {
  return block_->data() + static_cast<std::size_t>(index) * panel_bytes_;
}

const PackedMatrix& PackedWeight::form(std::int64_t k, std::int64_t n, const MatrixLayout& source,
                                       MatrixType type, const void* values) {
  std::unique_ptr<PackedMatrix>& form =
      forms_[{k, n, source.type, source.row_step, source.column_step, type}];
  if (form == nullptr) {
    form = std::make_unique<PackedMatrix>(k, Panels::of_weight(n), source, type, values);
  }
  return *form;
}

}  // namespace dm::cpu
