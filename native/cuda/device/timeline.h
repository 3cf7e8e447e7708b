// SPDX-License-Identifier: Apache-2.0
// How far the stream of work has come. Each piece of work that is put on it has a number; now and then an event is recorded behind one (a mark).
// A copy that runs beside the work asks when memory was used last: it has to wait for the first mark at or after that number, not for
// everything that was started, and for nothing where a mark after it has passed.
#pragma once

#include <cstdint>
#include <deque>

#include "cuda/device/events.h"

namespace dm::cuda {

class Timeline {
 public:
  /// At most so many pieces of work lie between two marks, where `may_mark` is called often enough.
  static constexpr std::uint64_t kBetweenMarks = 64;

  Timeline(Events& events, cudaStream_t work) : events_(events), work_(work) {}
  ~Timeline() {
    for (const Mark& mark : marks_) events_.give_back(mark.event);
  }
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  /// A piece of work was put on the stream.
  void started() { ++newest_; }
  std::uint64_t newest() const { return newest_; }

  cudaError_t may_mark() { return newest_ - marked_ < kBetweenMarks ? cudaSuccess : mark(); }
  /// Behind everything that was started.
  cudaError_t mark();

  /// Makes `stream` wait for the work of that number, and for what was before it.
  cudaError_t wait(cudaStream_t stream, std::uint64_t number);

 private:
  struct Mark {
    std::uint64_t number;
    cudaEvent_t event;
  };

  void forget_passed();

  Events& events_;
  cudaStream_t work_;
  std::uint64_t newest_ = 0;
  std::uint64_t marked_ = 0;
  std::uint64_t over_ = 0;
  std::deque<Mark> marks_;
};

}  // namespace dm::cuda
