// SPDX-License-Identifier: Apache-2.0
// What the address sanitizer sees of the emulated device (emulator/bounds.h): a kernel that goes one element too far, into memory that is there.
// Planted here in kernels whose numbers are right all the same, so that without the sanitizer nobody notices. A GPU has compute-sanitizer.
#include "check.h"

#ifdef DM_CUDA_EMULATED

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <vector>

#include "cuda/core/launch.cuh"
#include "cuda/core/scratch-plan.h"
#include "cuda/core/upload-list.h"
#include "device-run.h"

namespace dm::cuda {
namespace {

#ifdef DM_EMULATOR_BOUNDS
constexpr bool kWatched = true;
#else
constexpr bool kWatched = false;
#endif

/// Whether what the body does, and starts on a device, stops the program.
bool stops(const std::function<void(DeviceContext&)>& body) {
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    body(test::device());
    test::device().synchronize();
    _exit(test::device().status().ok() ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 2);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/// *sum = the sum of the first `count` of x; reads x from `begin` to before `end`.
DM_KERNEL(32, 1) add_up(const float* x, int begin, int end, int count, float* sum) {
  if (thread_index() > 0) return;
  float total = 0.0f;
  for (int i = begin; i < end; ++i) {
    const float value = x[i];
    total += i >= 0 && i < count ? value : 0.0f;
  }
  *sum = total;
}

/// x[at] = what is there.
DM_KERNEL(32, 1) touch(volatile float* x, int at) {
  if (thread_index() == 0) x[at] = x[at];
}

/// Copies 16 bytes from each of `count` places of x, four floats apart.
DM_KERNEL(32, 1) copy_fours(const float* x, int count) {
  if (thread_index() < count) async_copy16(16 * static_cast<std::uint32_t>(thread_index()), x + 4 * thread_index(), true);
  async_commit();
  async_wait<0>();
}

/// Writes `count` floats of shared memory.
DM_KERNEL(32, 1) fill_shared(int count) {
  auto* const shared = reinterpret_cast<volatile float*>(shared_memory());
  for (int i = thread_index(); i < count; i += 32) shared[i] = 1.0f;
}

float* floats(DeviceContext& on, std::size_t count) {
  return static_cast<float*>(on.allocate(count * sizeof(float)));
}

/// A buffer of ones between two others.
float* ones(DeviceContext& on, std::size_t count) {
  floats(on, 64);
  float* const x = floats(on, count);
  floats(on, 64);
  const std::vector<float> values(count, 1.0f);
  on.upload(x, values.data(), count * sizeof(float));
  return x;
}

/// Adds up `count` ones, reading from `begin` to `end` of them. The sum is right whatever else is read.
void add_ones(DeviceContext& on, const float* x, int count, int begin, int end) {
  float* const sum = floats(on, 1);
  launch<add_up>(on, Grid{}, x, begin, end, count, sum);
  float got = 0;
  on.download(&got, sum, sizeof got);
  if (got != static_cast<float>(count)) _exit(2);
}

TEST("one element before or behind a buffer, whatever its size, and not in it") {
  for (const int count : {1, 2, 63, 64, 65, 128, 1000}) {
    const auto reads = [count](int begin, int end) {
      return stops([=](DeviceContext& on) {
        add_ones(on, ones(on, static_cast<std::size_t>(count)), count, begin, end);
      });
    };
    CHECK(!reads(0, count));
    CHECK_EQUAL(reads(0, count + 1), kWatched);
    CHECK_EQUAL(reads(-1, count), kWatched);
  }
}

TEST("a write behind a buffer, and of a part of a block that was split") {
  const auto writes = [](int count, int at) {
    return stops([=](DeviceContext& on) {
      on.release(floats(on, 100000));
      launch<touch>(on, Grid{}, floats(on, static_cast<std::size_t>(count)), at);
    });
  };
  for (const int count : {64, 500, 4096}) {
    CHECK(!writes(count, count - 1));
    CHECK_EQUAL(writes(count, count), kWatched);
  }
}

TEST("a buffer that was released before the kernel was started, and not after") {
  const auto uses = [](bool before) {
    return stops([=](DeviceContext& on) {
      float* const x = ones(on, 64);
      if (before) on.release(x);
      launch<touch>(on, Grid{}, x, 0);
      if (!before) on.release(x);
    });
  };
  CHECK(!uses(false));
  CHECK_EQUAL(uses(true), kWatched);
}

TEST("scratch of fewer bytes than the block has") {
  const auto uses = [](int at) {
    return stops([=](DeviceContext& on) {
      on.scratch(4000);
      launch<touch>(on, Grid{}, static_cast<float*>(on.scratch(400)), at);
    });
  };
  CHECK(!uses(99));
  CHECK_EQUAL(uses(100), kWatched);
}

TEST("a piece of planned scratch: its neighbour is another's") {
  for (const int count : {64, 100}) {
    const auto uses = [count](int at) {
      return stops([=](DeviceContext& on) {
        ScratchPlan plan;
        plan.add(8);
        const std::size_t piece = plan.add(4 * count);
        plan.add(4096);
        if (plan.take(on)) launch<touch>(on, Grid{}, static_cast<float*>(plan.at(piece)), at);
      });
    };
    CHECK(!uses(0));
    CHECK(!uses(count - 1));
    CHECK_EQUAL(uses(count), kWatched);
    CHECK_EQUAL(uses(-1), kWatched);
  }
}

TEST("a list that is uploaded, with memory behind it") {
  const auto uses = [](int at) {
    return stops([=](DeviceContext& on) {
      launch<touch>(on, Grid{}, upload_list(on, std::vector<float>(64, 1.0f), 1024), at);
    });
  };
  CHECK(!uses(63));
  CHECK_EQUAL(uses(64), kWatched);
}

TEST("an asynchronous copy that begins inside and ends outside") {
  const auto copies = [](int count) {
    return stops([=](DeviceContext& on) {
      launch<copy_fours>(on, Grid{.shared_bytes = 512}, ones(on, 30), count);
    });
  };
  CHECK(!copies(7));
  CHECK_EQUAL(copies(8), kWatched);
}

TEST("shared memory") {
  const auto fills = [](int count) {
    return stops([=](DeviceContext& on) { launch<fill_shared>(on, Grid{.shared_bytes = 400}, count); });
  };
  CHECK(!fills(100));
  CHECK_EQUAL(fills(101), kWatched);
}

TEST("a kernel of a graph, each time it is replayed") {
  const auto replays = [](int at) {
    return stops([=](DeviceContext& on) {
      float* const x = ones(on, 64);
      on.capture_begin();
      float* const own = floats(on, 64);
      launch<add_up>(on, Grid{}, x, 0, 64, 64, own);
      launch<touch>(on, Grid{}, own, at);
      on.release(own);
      Graph* const graph = on.capture_end();
      for (int i = 0; i < 3; ++i) {
        on.replay(graph);
        on.release(floats(on, 64));
      }
      on.graph_destroy(graph);
    });
  };
  CHECK(!replays(0));
  CHECK_EQUAL(replays(64), kWatched);
}

}  // namespace
}  // namespace dm::cuda

#endif
