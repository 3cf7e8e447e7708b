// SPDX-License-Identifier: Apache-2.0
#include "cuda/emulator/streams.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace dm::cuda::emulator {

namespace {

constexpr int kStepsWhileWaiting = 3;  // at most, by chance, when somebody looks at an event

[[noreturn]] void stop() {
  std::fprintf(stderr, "emulator: streams wait for each other, and none can go on\n");
  std::abort();
}

}  // namespace

void Scheduler::remove(Stream* stream) {
  streams_.erase(std::remove(streams_.begin(), streams_.end(), stream), streams_.end());
}

/// Does the next task of a stream. False when there is none, or it waits.
bool Scheduler::step(Stream* stream) {
  if (stream->queue.empty()) return false;
  if (stream->queue.front().await != nullptr && !stream->queue.front().await->reached) return false;
  const Task task = std::move(stream->queue.front());
  stream->queue.pop_front();
  if (task.reach != nullptr) {
    task.reach->reached = true;
    task.reach->time = std::chrono::steady_clock::now();
  } else if (task.work.run && !faulted_) {
    faulted_ = !task.work.bookkeeping && fault_in_ > 0 && --fault_in_ == 0;
    if (!faulted_) task.work.run();
  }
  return true;
}

bool Scheduler::step_any(std::mt19937_64& random) {
  std::vector<Stream*> turn = streams_;
  std::shuffle(turn.begin(), turn.end(), random);
  return std::any_of(turn.begin(), turn.end(), [this](Stream* stream) { return step(stream); });
}

/// Nothing but what the moment needs.
void Scheduler::run_lazily(const Moment& moment) {
  while (!moment.reached) {
    if (step(moment.stream)) continue;
    if (moment.stream->queue.empty()) stop();
    const std::shared_ptr<Moment> awaited = moment.stream->queue.front().await;
    run_lazily(*awaited);
  }
}

/// Every stream but one, as far as it can go.
void Scheduler::run_others(const Stream* stream) {
  for (bool moved = true; moved;) {
    moved = false;
    for (Stream* other : streams_) {
      if (other != stream && step(other)) moved = true;
    }
  }
}

void Scheduler::run_until(const Moment& moment, std::uint64_t order) {
  if (order == 0) {
    run_lazily(moment);
    return;
  }
  while (!moment.reached) {
    if (order == 1) {
      run_others(moment.stream);
      if (!step(moment.stream)) stop();
    } else if (!step_any(random_)) {
      stop();
    }
  }
}

void Scheduler::drain(Stream* stream, std::uint64_t order) {
  if (stream->queue.empty()) return;
  const auto end = std::make_shared<Moment>();
  end->stream = stream;
  stream->queue.push_back({{}, end, {}});
  run_until(*end, order);
}

void Scheduler::drain_all(std::uint64_t order) {
  for (Stream* stream : streams_) drain(stream, order);
}

void Scheduler::let_time_pass(std::uint64_t order) {
  if (order <= 1) return;
  const int steps = static_cast<int>(random_() % (kStepsWhileWaiting + 1));
  for (int i = 0; i < steps; ++i) step_any(random_);
}

void Scheduler::repair() {
  faulted_ = false;
  fault_in_ = 0;
}

}  // namespace dm::cuda::emulator
