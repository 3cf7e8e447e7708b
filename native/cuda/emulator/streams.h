// SPDX-License-Identifier: Apache-2.0
// Streams and events of the emulated runtime: queues of work, and who may run next. Not for two threads at once: cuda-runtime.cc holds a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace dm::cuda::emulator {

struct Stream;

struct Work {
  std::function<void()> run;
  bool bookkeeping = false;  ///< the emulator's own: not what `fault_at` counts
};

/// One record of an event: what waits for it names it, so that a later record of the same event is another.
struct Moment {
  Stream* stream = nullptr;
  bool reached = false;
  std::chrono::steady_clock::time_point time;
};

struct Event {
  std::shared_ptr<Moment> last;  ///< null: never recorded
};

/// A piece of a queue: work, or a moment to reach, or one to wait for.
struct Task {
  Work work;
  std::shared_ptr<Moment> reach, await;
};

/// Work in the order it was recorded.
struct Recording {
  std::vector<Work> work;
};
struct Executable {
  std::vector<Work> work;
};

struct Stream {
  std::deque<Task> queue;
  std::unique_ptr<Recording> capture;  ///< null: none under way
  bool capture_broken = false;
};

/// All streams, and the schedule.
class Scheduler {
 public:
  void add(Stream* stream) { streams_.push_back(stream); }
  void remove(Stream* stream);

  /// Runs until the moment is reached; whatever else runs, and when, is up to `order`.
  void run_until(const Moment& moment, std::uint64_t order);
  /// Runs a stream to its end.
  void drain(Stream* stream, std::uint64_t order);
  void drain_all(std::uint64_t order);
  /// What a machine may have done by itself when somebody looks: nothing, or, by chance, some of it.
  void let_time_pass(std::uint64_t order);

  /// The `count`th piece of work from now on faults: neither it nor anything after it runs.
  void fault_at(int count) { fault_in_ = count; }
  bool faulted() const { return faulted_; }
  void repair();

 private:
  bool step(Stream* stream);
  bool step_any(std::mt19937_64& random);
  void run_lazily(const Moment& moment);
  void run_others(const Stream* stream);

  std::vector<Stream*> streams_;
  std::mt19937_64 random_{20};
  int fault_in_ = 0;
  bool faulted_ = false;
};

}  // namespace dm::cuda::emulator
