// SPDX-License-Identifier: Apache-2.0
#include "cuda/emulator/simt-emulator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/emulator/fiber.h"

namespace dm::cuda::emulator {

namespace {

constexpr int kLanes = 32;
constexpr std::size_t kStackBytes = 256 * 1024;
constexpr int kPoison = 0xCB;

enum class State { kRunnable, kAtBarrier, kInCollective, kDone };

enum Operation { kNone, kLoad, kLoadTransposed, kMma, kWarpSync, kBallot, kTranspose };  // shuffles are numbered from 32 on

struct Copy {
  std::uint32_t shared;
  const void* global;
  bool valid;
};

struct Thread {
  std::unique_ptr<Fiber> fiber;
  State state = State::kRunnable;
  std::vector<std::vector<Copy>> groups;  ///< closed, not waited for
  std::vector<Copy> open;
};

/// What the lanes of a warp bring to a collective; results are written through the pointers by the last lane to arrive.
struct Warp {
  int arrived = 0;
  int operation = kNone;
  std::array<std::uint64_t, kLanes> value, taken;
  std::array<std::uint32_t, kLanes> address, b0, b1;
  std::array<std::uint32_t*, kLanes> tiles;
  std::array<const std::uint32_t*, kLanes> a;
  std::array<float*, kLanes> c;
};

struct Block {
  Launch launch;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  int current = 0;
  bool running = false;  ///< a thread is, not the emulator
  int x = 0, y = 0;
};

thread_local Block* active = nullptr;

[[noreturn]] void stop(const char* fault) {
  std::fprintf(stderr, "emulator: %s (block %d, %d; thread %d)\n", fault, active->x, active->y,
               active->current);
  std::abort();
}

Thread& current_thread() { return active->threads[static_cast<std::size_t>(active->current)]; }

void pause(State state) {
  Thread& thread = current_thread();
  thread.state = state;
  thread.fiber->leave();
}

/// The lane adds its part; the last one of 32 runs `execute` for all.
template <class Contribute, class Execute>
void collective(int operation, const Contribute& contribute, const Execute& execute) {
  const int thread = active->current;
  const int first = thread - thread % kLanes;
  if (first + kLanes > active->launch.threads) stop("a collective in a warp of fewer than 32 lanes");
  Warp& warp = active->warps[static_cast<std::size_t>(thread / kLanes)];
  if (warp.arrived == 0) warp.operation = operation;
  if (warp.operation != operation) stop("lanes of a warp reached different collectives");
  contribute(warp, static_cast<std::size_t>(thread % kLanes));
  if (++warp.arrived < kLanes) {
    pause(State::kInCollective);
    return;
  }
  execute(warp);
  warp.arrived = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    Thread& other = active->threads[static_cast<std::size_t>(first + lane)];
    if (other.state == State::kInCollective) other.state = State::kRunnable;
  }
  // Who comes last here is not to be first from here on.
  pause(State::kRunnable);
}

void check_shared(std::uint32_t address, const char* fault) {
  if (address % 16 != 0 || address + 16 > active->shared.size()) stop(fault);
}

/// The float32 towards zero. Tensor cores add 16 products to a sum without rounding and cut off what is too small [Fasi, Higham, Mikaitis
/// and Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 2021, e330], so that errors of long sums add up.
float cut_off(double sum) {
  const float nearest = static_cast<float>(sum);
  const bool further = std::isfinite(nearest) && std::fabs(static_cast<double>(nearest)) > std::fabs(sum);
  return further ? std::nextafterf(nearest, 0.0f) : nearest;
}

/// Runs the warp until none of its lanes can move, lane after lane. Returns whether any did.
bool run_warp(Block& block, int warp, std::mt19937_64& random) {
  std::array<int, kLanes> lanes;
  std::iota(lanes.begin(), lanes.end(), 0);
  if (block.launch.order == 1) std::reverse(lanes.begin(), lanes.end());
  bool any = false;
  for (bool moved = true; moved;) {
    moved = false;
    if (block.launch.order > 1) std::shuffle(lanes.begin(), lanes.end(), random);
    for (const int lane : lanes) {
      const int thread = warp * kLanes + lane;
      if (thread >= block.launch.threads) continue;
      Thread& t = block.threads[static_cast<std::size_t>(thread)];
      if (t.state != State::kRunnable) continue;
      block.current = thread;
      block.running = true;
      t.fiber->enter();
      block.running = false;
      moved = any = true;
    }
  }
  return any;
}

void run_block(Block& block, const std::function<void()>& body, std::mt19937_64& random) {
  const auto threads = static_cast<std::size_t>(block.launch.threads);
  std::fill(block.shared.begin(), block.shared.end(), static_cast<unsigned char>(kPoison));
  block.warps.assign((threads + kLanes - 1) / kLanes, Warp());
  races::begin_block();
  for (Thread& thread : block.threads) {
    thread.state = State::kRunnable;
    thread.groups.clear();
    thread.open.clear();
    thread.fiber->start([&body] {
      body();
      current_thread().state = State::kDone;
    });
  }
  std::vector<int> order(block.warps.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  if (block.launch.order == 1) std::reverse(order.begin(), order.end());
  for (;;) {
    if (block.launch.order > 1) std::shuffle(order.begin(), order.end(), random);
    bool any = false;
    for (const int warp : order) any |= run_warp(block, warp, random);
    const auto in = [&block](State state) {
      return std::count_if(block.threads.begin(), block.threads.end(),
                           [state](const Thread& t) { return t.state == state; });
    };
    const auto done = in(State::kDone);
    const auto waiting = in(State::kAtBarrier);
    if (done == static_cast<std::ptrdiff_t>(threads)) return;
    if (done + waiting == static_cast<std::ptrdiff_t>(threads)) {
      if (done > 0) stop("a barrier that only part of the block reaches");
      for (Thread& thread : block.threads) thread.state = State::kRunnable;
      races::met_block();
    } else if (!any) {
      stop("a collective that only part of a warp reaches");
    }
  }
}

/// Fibers of launches that are over: stacks are large, and each launch wants as many.
std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static thread_local std::vector<std::unique_ptr<Fiber>> idle;
  return idle;
}

std::unique_ptr<Fiber> take_fiber() {
  std::vector<std::unique_ptr<Fiber>>& idle = idle_fibers();
  if (idle.empty()) return std::make_unique<Fiber>(kStackBytes);
  std::unique_ptr<Fiber> fiber = std::move(idle.back());
  idle.pop_back();
  return fiber;
}

}  // namespace

void run(const Launch& launch, const std::function<void()>& body) {
  Block block;
  block.launch = launch;
  block.shared.resize(launch.shared_bytes);
  block.threads.resize(static_cast<std::size_t>(launch.threads));
  for (Thread& thread : block.threads) thread.fiber = take_fiber();
  Block* const outer = active;
  active = &block;
  std::mt19937_64 random(launch.order);
  races::begin_launch();
  for (block.y = 0; block.y < launch.blocks_y; ++block.y) {
    for (block.x = 0; block.x < launch.blocks; ++block.x) run_block(block, body, random);
  }
  for (Thread& thread : block.threads) idle_fibers().push_back(std::move(thread.fiber));
  active = outer;
}

int thread_index() { return active->current; }
int block_threads() { return active->launch.threads; }
int block_index(int axis) { return axis == 0 ? active->x : active->y; }
int block_count() { return active->launch.blocks; }
unsigned char* shared_memory() { return active->shared.data(); }
bool in_kernel() { return active != nullptr && active->running; }
std::size_t shared_bytes() { return active->shared.size(); }
bool owns_shared(const void* data) {
  const auto* const byte = static_cast<const unsigned char*>(data);
  return byte >= active->shared.data() && byte < active->shared.data() + active->shared.size();
}
bool owns_stack(const void* data) { return current_thread().fiber->owns(data); }

std::uint32_t shared_address(const void* pointer) {
  const auto* const byte = static_cast<const unsigned char*>(pointer);
  const std::ptrdiff_t offset = byte - active->shared.data();
  if (offset < 0 || offset > static_cast<std::ptrdiff_t>(active->shared.size())) {
    stop("a shared address outside shared memory");
  }
  return static_cast<std::uint32_t>(offset);
}

void block_sync() { pause(State::kAtBarrier); }

void warp_sync() {
  const int warp = active->current / kLanes;
  collective(kWarpSync, [](Warp&, std::size_t) {}, [warp](Warp&) { races::met_warp(warp); });
}

std::uint64_t shuffle(std::uint64_t value, int lane, int operation) {
  const int thread = active->current;
  collective(
      operation, [value](Warp& warp, std::size_t l) { warp.value[l] = value; },
      [](Warp& warp) { warp.taken = warp.value; });
  const Warp& warp = active->warps[static_cast<std::size_t>(thread / kLanes)];
  return warp.taken[static_cast<std::size_t>(lane)];
}

std::uint32_t ballot(bool value) {
  const int thread = active->current;
  collective(
      kBallot, [value](Warp& warp, std::size_t l) { warp.value[l] = value ? 1 : 0; },
      [](Warp& warp) {
        std::uint64_t word = 0;
        for (std::size_t l = 0; l < kLanes; ++l) word |= warp.value[l] << l;
        warp.taken.fill(word);
      });
  return static_cast<std::uint32_t>(
      active->warps[static_cast<std::size_t>(thread / kLanes)].taken[0]);
}

void check_aligned(const void* pointer, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0) stop("a misaligned access of four");
}

void async_copy16(std::uint32_t shared, const void* global, bool valid) {
  check_shared(shared, "an asynchronous copy to outside shared memory, or misaligned there");
  // Also of a copy of zeros, whose address is not read: the instruction wants it aligned.
  if (reinterpret_cast<std::uintptr_t>(global) % 16 != 0) {
    stop("an asynchronous copy from a misaligned global address");
  }
  const void* const from = __builtin_return_address(0);
  if (valid) races::access(global, 16, false, from);
  races::copy_starts(active->shared.data() + shared, 16, from);
  current_thread().open.push_back({shared, global, valid});
}

void async_commit() {
  Thread& thread = current_thread();
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}

void async_wait(int pending) {
  std::vector<std::vector<Copy>>& groups = current_thread().groups;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Copy& copy : groups.front()) {
      unsigned char* const target = active->shared.data() + copy.shared;
      if (copy.valid) {
        std::memcpy(target, copy.global, 16);
      } else {
        std::memset(target, 0, 16);
      }
      races::copy_landed(target, 16, __builtin_return_address(0));
    }
    groups.erase(groups.begin());
  }
}

void load_matrix(std::uint32_t (&tiles)[4], std::uint32_t row, bool transposed) {
  check_shared(row, "a matrix row outside shared memory, or misaligned");
  races::access(active->shared.data() + row, 16, false, __builtin_return_address(0));
  collective(
      transposed ? kLoadTransposed : kLoad,
      [&tiles, row](Warp& warp, std::size_t lane) {
        warp.address[lane] = row;
        warp.tiles[lane] = tiles;
      },
      [transposed](Warp& warp) {
        for (std::size_t tile = 0; tile < 4; ++tile) {
          for (std::size_t lane = 0; lane < kLanes; ++lane) {
            std::array<std::uint16_t, 2> pair;
            for (std::size_t e = 0; e < 2; ++e) {
              const std::size_t along = lane % 4 * 2 + e;
              const std::size_t r = transposed ? along : lane / 4;
              const std::size_t c = transposed ? lane / 4 : along;
              const std::size_t at = warp.address[tile * 8 + r] + c * 2;
              std::memcpy(&pair[e], active->shared.data() + at, 2);
            }
            warp.tiles[lane][tile] = static_cast<std::uint32_t>(pair[0]) |
                                     (static_cast<std::uint32_t>(pair[1]) << 16);
          }
        }
      });
}

std::uint32_t transpose_tile(std::uint32_t tile) {
  const int thread = active->current;
  collective(
      kTranspose, [tile](Warp& warp, std::size_t lane) { warp.value[lane] = tile; },
      [](Warp& warp) {
        const auto at = [&warp](std::size_t row, std::size_t column) {
          return warp.value[row * 4 + column / 2] >> (column % 2 * 16) & 0xffff;
        };
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const std::size_t along = lane % 4 * 2;
          warp.taken[lane] = at(along, lane / 4) | (at(along + 1, lane / 4) << 16);
        }
      });
  const Warp& warp = active->warps[static_cast<std::size_t>(thread / kLanes)];
  return static_cast<std::uint32_t>(warp.taken[static_cast<std::size_t>(thread % kLanes)]);
}

void mma_m16n8k16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  collective(
      kMma,
      [&](Warp& warp, std::size_t lane) {
        warp.c[lane] = c;
        warp.a[lane] = a;
        warp.b0[lane] = b0;
        warp.b1[lane] = b1;
      },
      [](Warp& warp) {
        float left[16][16];
        float right[16][8];
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const std::size_t row = lane / 4;
          const std::size_t column = lane % 4 * 2;
          for (std::size_t part = 0; part < 4; ++part) {
            const std::size_t r = row + part % 2 * 8;
            const std::size_t k = column + part / 2 * 8;
            left[r][k] = low_bf16(warp.a[lane][part]);
            left[r][k + 1] = high_bf16(warp.a[lane][part]);
          }
          right[column][row] = low_bf16(warp.b0[lane]);
          right[column + 1][row] = high_bf16(warp.b0[lane]);
          right[column + 8][row] = low_bf16(warp.b1[lane]);
          right[column + 9][row] = high_bf16(warp.b1[lane]);
        }
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          for (std::size_t e = 0; e < 4; ++e) {
            const std::size_t row = lane / 4 + e / 2 * 8;
            const std::size_t column = lane % 4 * 2 + e % 2;
            double sum = static_cast<double>(warp.c[lane][e]);
            for (std::size_t k = 0; k < 16; ++k) {
              sum += static_cast<double>(left[row][k]) * static_cast<double>(right[k][column]);
            }
            warp.c[lane][e] = cut_off(sum);
          }
        }
      });
}

}  // namespace dm::cuda::emulator
