// SPDX-License-Identifier: Apache-2.0
// Threads that sleep between ops (after a short spin, since ops follow each other closely) and take
// chunks from one counter.
#include "core/thread-pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace dm {

namespace {

constexpr int kMaxThreads = 256;
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  detail::ChunkFunction function;
  const void* context;
  std::int64_t chunks;
  std::atomic<std::int64_t> next{0};

  void work() {
    for (std::int64_t chunk = next++; chunk < chunks; chunk = next++) function(context, chunk);
  }
};

class ThreadPool {
 public:
  static ThreadPool& instance() {
    // Never destroyed: its threads would have to be joined while the process is going away.
    static ThreadPool& pool = *new ThreadPool;
    return pool;
  }

  int threads() const { return wanted_.load(std::memory_order_relaxed); }
  void set_threads(int count) { wanted_ = std::clamp(count, 1, kMaxThreads); }

  void run(std::int64_t chunks, detail::ChunkFunction function, const void* context) {
    Job job{function, context, chunks};
    std::unique_lock owner(owner_, std::defer_lock);
    if (chunks < 2 || threads() < 2 || inside_ || !owner.try_lock()) {
      job.work();
      return;
    }
    resize(static_cast<std::size_t>(threads() - 1));
    {
      const std::lock_guard lock(mutex_);
      job_ = &job;
      ++generation_;
    }
    wake_.notify_all();
    inside_ = true;
    job.work();
    inside_ = false;
    {
      const std::lock_guard lock(mutex_);
      job_ = nullptr;  // whoever has not woken by now sleeps on
    }
    for (int spin = 0; spin < kSpins && active_ != 0; ++spin) relax();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return active_ == 0; });
  }

 private:
  ThreadPool() { wanted_ = default_threads(); }

  /// By the owner only.
  void resize(std::size_t workers) {
    if (workers_.size() == workers) return;
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      ++generation_;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
    for (std::size_t i = 0; i < workers; ++i) {
      workers_.emplace_back([this, seen = generation_.load()] { loop(seen); });
    }
  }

  void loop(std::uint64_t seen) {
    inside_ = true;
    while (true) {
      for (int spin = 0; spin < kSpins && generation_ == seen; ++spin) relax();
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (stop_) return;
      Job* job = job_;
      if (job == nullptr) continue;
      ++active_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  std::atomic<int> wanted_{1};
  std::mutex owner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> active_{0};
  Job* job_ = nullptr;
  bool stop_ = false;
  std::vector<std::thread> workers_;
  static thread_local bool inside_;
};

thread_local bool ThreadPool::inside_ = false;

#if defined(__linux__)
int physical_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 0;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!(file >> siblings)) siblings = std::to_string(cpu);
    cores.insert(siblings);
  }
  return static_cast<int>(cores.size());
}

/// Processors the container may use, rounded up; 0 where there is no quota.
int container_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || period <= 0) return 0;
  return static_cast<int>((quota + period - 1) / period);
}
#else
int physical_cores() { return 0; }
int container_quota() { return 0; }
#endif

}  // namespace

int default_threads() {
  if (const char* text = std::getenv("DIFFMAVIL_THREADS")) {
    const int count = std::atoi(text);
    if (count >= 1) return std::min(count, kMaxThreads);
  }
  int count = physical_cores();
  if (count == 0) count = static_cast<int>(std::thread::hardware_concurrency());
  const int quota = container_quota();
  if (quota > 0) count = std::min(count, quota);
  return std::clamp(count, 1, kMaxThreads);
}

int threads() { return ThreadPool::instance().threads(); }

void set_threads(int count) { ThreadPool::instance().set_threads(count); }

void detail::run_chunks(std::int64_t chunks, ChunkFunction function, const void* context) {
  ThreadPool::instance().run(chunks, function, context);
}

}  // namespace dm
