// SPDX-License-Identifier: Apache-2.0
// The emulator's search for accesses that nothing orders (emulator/races.h) finds what is planted here, and lets the same with its barrier pass.
// Where it is not compiled in there is nothing to test.
#include "check.h"

#ifdef DM_EMULATOR_RACES

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "cuda/core/reduce.cuh"

namespace dm::cuda {
namespace {

constexpr int kThreads = 2 * kWarp;

/// Whether blocks of two warps that run `body` are stopped.
bool stops(const std::function<void()>& body, int launches = 1) {
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    const emulator::Launch size{.blocks = 2, .threads = kThreads, .shared_bytes = kThreads * 16};
    for (int i = 0; i < launches; ++i) emulator::run(size, body);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

FourOf<float>* own_four() {
  return reinterpret_cast<FourOf<float>*>(shared_memory()) + thread_index();
}
void put(int place) { write_four(reinterpret_cast<float*>(shared_memory()) + 4 * place, FourOf<float>{}); }
void look(int place) { read_four(reinterpret_cast<float*>(shared_memory()) + 4 * place); }

TEST("a read of what another lane wrote waits for warp_sync; a shuffle is not enough") {
  CHECK(!stops([] {
    put(thread_index());
    warp_sync();
    look(thread_index() ^ 1);
  }));
  CHECK(stops([] {
    put(thread_index());
    shuffle_xor(1.0f, 1);
    look(thread_index() ^ 1);
  }));
}

TEST("a read of what another warp wrote waits for block_sync; warp_sync is not enough") {
  CHECK(!stops([] {
    put(thread_index());
    block_sync();
    look(thread_index() ^ kWarp);
  }));
  CHECK(stops([] {
    put(thread_index());
    warp_sync();
    look(thread_index() ^ kWarp);
  }));
}

TEST("a write waits for reads, and for another write") {
  CHECK(!stops([] {
    look(0);
    block_sync();
    if (thread_index() == 0) put(0);
  }));
  CHECK(stops([] {
    look(0);
    if (thread_index() == 0) put(0);
  }));
  CHECK(stops([] { put(0); }));
}

TEST("blocks of a launch do not wait for each other; a launch waits for the one before") {
  alignas(16) static float global[4] = {};
  CHECK(stops([] {
    if (thread_index() == 0) write_four(global, FourOf<float>{});
  }));
  CHECK(!stops(
      [] {
        if (thread_index() == 0 && block_index() == 0) write_four(global, FourOf<float>{});
      },
      2));
}

TEST("nobody looks where an asynchronous copy is on its way") {
  alignas(16) static const float global[4] = {};
  const auto copy = [] {
    async_copy16(shared_address(own_four()), global, true);
    async_commit();
  };
  CHECK(!stops([copy] {
    copy();
    async_wait<0>();
    block_sync();
    look(thread_index() ^ kWarp);
  }));
  CHECK(stops([copy] {
    copy();
    block_sync();
    look(thread_index());
  }));
}

}  // namespace
}  // namespace dm::cuda

#endif
