// SPDX-License-Identifier: Apache-2.0
// Copies beside the work under way: what waits for what, when memory is handed out again, what comes back.
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "api-run.h"
#ifdef DM_CUDA_EMULATED
#include "cuda/core/red-zone.h"
#include "cuda/emulator/cuda-runtime.h"
#endif

using dm::test::all;
using dm::test::api;
using dm::test::Context;

namespace {

constexpr std::uint64_t kCount = 1024;

/// y = factor x, by the op that drops paths.
void scale(Context& on, dm_cuda_buffer x, dm_cuda_buffer factor, dm_cuda_buffer y) {
  on.run("DmDropPath", {x, factor, y}, {1, static_cast<double>(x.bytes / sizeof(float))});
}

}  // namespace

TEST("an op reads what was uploaded before it, however late the copy is") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer y = on.allocate(kCount);
  for (int turn = 1; turn <= 4; ++turn) {
    const dm_cuda_buffer x = on.allocate(kCount);
    on.write_staged(x, all(kCount, static_cast<float>(turn)));
    scale(on, x, two, y);
    CHECK(on.download(y) == all(kCount, static_cast<float>(2 * turn)));
    on.release(x);
  }
}

TEST("an upload to memory that others had before waits until they are done with it") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer y = on.allocate(kCount);
  for (int turn = 1; turn <= 4; ++turn) {
    const dm_cuda_buffer x = on.upload(all(kCount, static_cast<float>(turn)));
    scale(on, x, two, y);
    on.release(x);
    const dm_cuda_buffer next = on.allocate(kCount);
    CHECK(next.data == x.data);
    on.write_staged(next, all(kCount, 100));
    CHECK(on.download(y) == all(kCount, static_cast<float>(2 * turn)));
    CHECK(on.download(next) == all(kCount, 100));
    on.release(next);
  }
}

TEST("an upload waits for the former owner of its memory, long ago as that was started") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer y = on.allocate(kCount);
  const dm_cuda_buffer z = on.upload({1});
  const dm_cuda_buffer x = on.upload(all(kCount, 3));
  scale(on, x, two, y);
  on.release(x);
  for (int i = 0; i < 200; ++i) scale(on, two, z, z);
  const dm_cuda_buffer next = on.allocate(kCount);
  CHECK(next.data == x.data);
  on.write_staged(next, all(kCount, 100));
  CHECK(on.download(y) == all(kCount, 6));
  CHECK(on.download(next) == all(kCount, 100));
}

TEST("an upload to a buffer that ops use comes after those that were started before it") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer x = on.upload(all(kCount, 1));
  const dm_cuda_buffer y = on.allocate(kCount);
  const dm_cuda_buffer z = on.allocate(kCount);
  scale(on, x, two, y);
  on.write_staged(x, all(kCount, 5));
  scale(on, x, two, z);
  on.write(x, all(kCount, 7));
  CHECK(on.download(y) == all(kCount, 2));
  CHECK(on.download(z) == all(kCount, 10));
  CHECK(on.download(x) == all(kCount, 7));
}

TEST("staging memory is written again once its copy is over, and not before") {
  Context on;
  std::vector<dm_cuda_buffer> buffers;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; ++i) {
      buffers.push_back(on.allocate(kCount));
      if (i % 2 == 0) {
        on.write_staged(buffers.back(), all(kCount, static_cast<float>(i)));
      } else {
        on.write(buffers.back(), all(kCount, static_cast<float>(i)));
      }
    }
    for (int i = 0; i < 40; ++i) {
      CHECK(on.download(buffers[static_cast<std::size_t>(i)]) == all(kCount, static_cast<float>(i)));
    }
    for (const dm_cuda_buffer& buffer : buffers) on.release(buffer);
    buffers.clear();
  }
  // 40 copies at once need as many pages at most; later rounds take them again.
  CHECK(on.memory().staging <= 48 * 4096);
}

TEST("memory that is handed from owner to owner holds what its last one was given") {
  Context on;
  const dm_cuda_buffer half = on.upload({0.5f});
  std::vector<dm_cuda_buffer> results;
  for (int i = 0; i < 60; ++i) {
    const dm_cuda_buffer x = on.allocate(kCount);
    const dm_cuda_buffer other = on.allocate(kCount);
    on.write_staged(x, all(kCount, static_cast<float>(i)));
    on.write_staged(other, all(kCount, -1));
    results.push_back(on.allocate(kCount));
    // Released at once, and handed out again while the copy or the op may be under way.
    if (i % 3 == 0) on.release(other);
    scale(on, x, half, results.back());
    on.release(x);
    if (i % 3 != 0) on.release(other);
  }
  for (int i = 0; i < 60; ++i) {
    CHECK(on.download(results[static_cast<std::size_t>(i)]) == all(kCount, static_cast<float>(i) / 2));
  }
}

TEST("lists that ops upload are their own: many of them may be under way") {
  Context on;
  std::vector<dm_cuda_buffer> tensors;
  std::vector<dm_cuda_buffer> norms;
  for (int i = 0; i < 20; ++i) {
    tensors.push_back(on.upload(all(4, static_cast<float>(i))));
    norms.push_back(on.allocate(1));
    on.run("DmGlobalNorm", {tensors.back(), norms.back()}, {4});
  }
  for (int i = 0; i < 20; ++i) {
    CHECK_EQUAL(on.download(norms[static_cast<std::size_t>(i)])[0], static_cast<float>(2 * i));
  }
}

TEST("what is larger than one piece of staging memory arrives whole, both ways") {
  Context on;
  std::vector<float> values((std::size_t{64} << 18) + 1000, 1);
  values.back() = 3;
  const dm_cuda_buffer x = on.upload(values);
  CHECK(on.download(x) == values);
}

TEST("trims while work is under way: buffers stay, what is idle goes back") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer y = on.allocate(kCount);
  const dm_cuda_buffer x = on.upload(all(kCount, 4));
  const dm_cuda_buffer large = on.allocate(4 << 20);
  scale(on, x, two, y);
  on.run("DmGlobalNorm", {x, large}, {static_cast<double>(kCount)});
  CHECK(on.memory().workspace > 0);
  on.release(x);
  on.release(large);
  on.good(api().trim(on.get()));
  CHECK_EQUAL(on.memory().workspace, std::uint64_t{0});
  CHECK_EQUAL(on.memory().staging, std::uint64_t{0});
  // One segment for small buffers is left.
  CHECK_EQUAL(on.memory().in_use + on.memory().cached, std::uint64_t{2} << 20);
  CHECK(on.download(y) == all(kCount, 8));
}

TEST("refuses to release what is none of its buffers, or is none any more") {
  Context on;
  const dm_cuda_buffer x = on.upload({1});
  float own = 0;
  CHECK_EQUAL(api().release(on.get(), {&own, 4}), DM_CUDA_INVALID_ARGUMENT);
  CHECK_EQUAL(on.message(), "release: expected a buffer of this device, got another address");
  on.release(x);
  CHECK_EQUAL(api().release(on.get(), x), DM_CUDA_INVALID_ARGUMENT);
}

TEST("another thread waits for fetches while the context's own goes on") {
  Context on;
  const dm_cuda_buffer two = on.upload({2});
  const dm_cuda_buffer x = on.upload(all(kCount, 1));
  std::vector<dm_cuda_fetch*> fetches;
  for (int i = 0; i < 10; ++i) {
    scale(on, x, two, x);
    dm_cuda_fetch* fetch = nullptr;
    on.good(api().fetch(on.get(), x, x.bytes, &fetch));
    fetches.push_back(fetch);
  }
  std::vector<std::vector<float>> got(fetches.size(), std::vector<float>(kCount));
  std::thread waits([&] {
    for (std::size_t i = 0; i < fetches.size(); ++i) {
      CHECK_EQUAL(api().fetch_wait(fetches[i], got[i].data()), DM_CUDA_OK);
    }
  });
  for (int i = 0; i < 30; ++i) {
    scale(on, x, two, x);
    on.release(on.upload(all(kCount, 3)));
  }
  on.good(api().synchronize(on.get()));
  waits.join();
  for (std::size_t i = 0; i < fetches.size(); ++i) {
    api().fetch_end(on.get(), fetches[i]);
    CHECK(got[i] == all(kCount, static_cast<float>(2 << i)));
  }
}

#ifdef DM_CUDA_EMULATED

TEST("short of memory it gives back what is cached, and then says how much there is") {
  dm::cuda::emulator::Machine& machine = dm::cuda::emulator::machine();
  const std::size_t before = machine.memory;
  machine.memory = std::size_t{64} << 20;
  {
    Context on;
    const dm_cuda_buffer first = on.allocate(10 << 20);
    on.release(first);
    // Needs what the first one's segment holds: 60 MiB with what lies behind a buffer.
    const dm_cuda_buffer second = on.allocate((15 << 20) - dm::cuda::kRedZone / sizeof(float));
    dm_cuda_buffer none{};
    CHECK_EQUAL(api().allocate(on.get(), 32 << 20, &none), DM_CUDA_OUT_OF_MEMORY);
    CHECK(none.data == nullptr);
    CHECK_EQUAL(on.message(),
                "allocate: expected 33554432 bytes of device memory, got none: 62914560 in use, 0 "
                "cached, 67108864 in total. Try: a smaller batch, or a device that nobody else uses");
    on.write(second, {1, 2});
    on.release(second);
    on.release(on.allocate(8 << 20));
  }
  machine.memory = before;
}

#endif
