// SPDX-License-Identifier: Apache-2.0
// A map of limited size that forgets what was longest not asked for. Safe to use from several
// threads.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace dm {

template <typename Key, typename Value>
class LruCache {
 public:
  explicit LruCache(std::size_t capacity) : capacity_(capacity) {}

  /// The value of `key`; made by `make()` -> std::shared_ptr<const Value> where there is none,
  /// outside the lock. May throw what `make` throws.
  template <typename Make>
  std::shared_ptr<const Value> get(const Key& key, const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = places_.find(key); found != places_.end()) {
        entries_.splice(entries_.begin(), entries_, found->second);
        return found->second->second;
      }
    }
    std::shared_ptr<const Value> made = make();
    const std::lock_guard lock(mutex_);
    if (const auto found = places_.find(key); found != places_.end()) return found->second->second;
    entries_.emplace_front(key, made);
    places_.emplace(key, entries_.begin());
    if (entries_.size() > capacity_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return made;
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  using Entries = std::list<std::pair<Key, std::shared_ptr<const Value>>>;

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  Entries entries_;  // latest first
  std::map<Key, typename Entries::iterator> places_;
};

}  // namespace dm
