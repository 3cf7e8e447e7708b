// SPDX-License-Identifier: Apache-2.0
#include "cuda/core/shadow-weights.h"

#include <algorithm>
#include <iterator>

#include "cuda/branch-rows.h"
#include "cuda/core/device.h"

namespace dm::cuda {

struct ShadowWeights::Copy {
  Device& device;
  const float* master;
  std::int64_t count;
  bool recorded;  ///< made by a record, and filled by each run of it
  void* data;
  std::uint64_t op = 0;  ///< the last op that read or rewrites it
  int buffers = 0;       ///< how many more buffers of that op may be its master

  Copy(Device& on, const float* of, std::int64_t length, bool in_record)
      : device(on),
        master(of),
        count(length),
        recorded(in_record),
        data(on.allocate(static_cast<std::size_t>(length) * sizeof(bf16))) {}
  ~Copy() {
    if (data != nullptr) device.release(data);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  std::uintptr_t first() const { return reinterpret_cast<std::uintptr_t>(master); }
  std::uintptr_t last() const { return first() + static_cast<std::uintptr_t>(count) * sizeof(float) - 1; }
};

namespace {

/// Drops what has its master in these bytes and is not to be kept.
template <class Copies, class Keep>
void drop_from(Copies& copies, const void* data, std::size_t bytes, Keep keep) {
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  auto at = copies.upper_bound(first);
  if (at != copies.begin() && std::prev(at)->second->last() >= first) --at;
  while (at != copies.end() && at->first < first + bytes) {
    if (keep(*at->second)) {
      ++at;
      continue;
    }
    // Its memory goes back when the list is in order again: that calls drop.
    const auto gone = std::move(at->second);
    at = copies.erase(at);
  }
}

constexpr auto kKeepNone = [](const auto&) { return false; };

template <class Copy>
bool has(const std::vector<std::shared_ptr<Copy>>& list, const Copy& copy) {
  return std::any_of(list.begin(), list.end(), [&](const auto& one) { return one.get() == &copy; });
}

}  // namespace

Device::Device() : shadows_(std::make_unique<ShadowWeights>(*this)) {}
Device::~Device() = default;

ShadowWeights::~ShadowWeights() = default;
ShadowRecord::~ShadowRecord() = default;

std::shared_ptr<ShadowWeights::Copy> ShadowWeights::find(const float* master, std::int64_t count) {
  const auto at = copies_.find(reinterpret_cast<std::uintptr_t>(master));
  return at == copies_.end() || at->second->count < count ? nullptr : at->second;
}

void ShadowWeights::fill(const Copy& copy) {
  round_to_bf16(device_, copy.master, copy.data, copy.count);
  ++made_;
}

void ShadowWeights::note(const std::shared_ptr<Copy>& copy, int buffers) {
  copy->op = op_;
  copy->buffers = buffers;
  if (record_ != nullptr && !has(record_->used_, *copy)) record_->used_.push_back(copy);
}

const bf16* ShadowWeights::of(const float* master, std::int64_t count) {
  if (count == 0 || !device_.status().ok()) return nullptr;
  std::shared_ptr<Copy> copy = find(master, count);
  if (copy == nullptr) {
    drop_from(copies_, master, static_cast<std::size_t>(count) * sizeof(float), kKeepNone);
    copy = std::make_shared<Copy>(device_, master, count, record_ != nullptr);
    if (copy->data != nullptr) fill(*copy);
    if (!device_.status().ok()) return nullptr;
    copies_[copy->first()] = copy;
  }
  note(copy, 1);
  return static_cast<const bf16*>(copy->data);
}

bf16* ShadowWeights::rewritten(const float* master, std::int64_t count) {
  const std::shared_ptr<Copy> copy = find(master, count);
  if (copy == nullptr || copy->count != count) return nullptr;
  note(copy, 2);
  return static_cast<bf16*>(copy->data);
}

void ShadowWeights::end_op(const void* data, std::size_t bytes) {
  drop_from(copies_, data, bytes,
            [this](Copy& copy) { return copy.op == op_ && copy.buffers-- > 0; });
  if (record_ == nullptr || bytes == 0) return;
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  record_->touched_.emplace_back(first, first + bytes - 1);
}

void ShadowWeights::drop(const void* data, std::size_t bytes) {
  drop_from(copies_, data, bytes, kKeepNone);
  if (record_ == nullptr) return;
  // It may have been given back for good.
  drop_from(before_record_, data, bytes, kKeepNone);
  end_op(data, bytes);
}

void ShadowWeights::forget() {
  if (record_ != nullptr) return;
  // Their memory goes back when the list is empty: that calls drop.
  Copies gone;
  gone.swap(copies_);
}

void ShadowWeights::clear() {
  const auto record = std::move(record_);
  Copies gone;
  gone.swap(before_record_);
  forget();
}

void ShadowWeights::begin_record() {
  before_record_ = copies_;
  record_ = std::make_unique<ShadowRecord>();
}

std::unique_ptr<ShadowRecord> ShadowWeights::end_record() {
  for (const auto& [first, copy] : copies_) {
    if (has(record_->used_, *copy)) record_->left_.push_back(copy);
  }
  record_->sort_touched();
  copies_.swap(before_record_);
  Copies gone;
  gone.swap(before_record_);
  return std::move(record_);
}

void ShadowWeights::before_run(const ShadowRecord& record) {
  for (const auto& copy : record.used_) {
    if (!copy->recorded && find(copy->master, copy->count) != copy) fill(*copy);
  }
}

void ShadowWeights::after_run(const ShadowRecord& record) {
  for (auto at = copies_.begin(); at != copies_.end();) {
    const auto copy = at->second;
    at = record.touches(*copy) ? copies_.erase(at) : std::next(at);
  }
  for (const auto& copy : record.left_) {
    if (!copy->recorded) copies_[copy->first()] = copy;
  }
}

bool ShadowRecord::touches(const ShadowWeights::Copy& copy) const {
  const auto after = std::upper_bound(touched_.begin(), touched_.end(),
                                      std::pair(copy.last(), ~std::uintptr_t{0}));
  return after != touched_.begin() && std::prev(after)->second >= copy.first();
}

void ShadowRecord::sort_touched() {
  std::sort(touched_.begin(), touched_.end());
  std::size_t count = 0;
  for (const auto& bytes : touched_) {
    if (count > 0 && bytes.first <= touched_[count - 1].second) {
      touched_[count - 1].second = std::max(touched_[count - 1].second, bytes.second);
    } else {
      touched_[count++] = bytes;
    }
  }
  touched_.resize(count);
}

}  // namespace dm::cuda
