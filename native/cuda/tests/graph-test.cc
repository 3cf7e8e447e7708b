// SPDX-License-Identifier: Apache-2.0
// Work that is recorded and replayed: the same bits as when it is run, whatever happens in between, in memory that is its own.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "api-run.h"
#ifdef DM_CUDA_EMULATED
#include "cuda/emulator/cuda-runtime.h"
#endif

using dm::test::all;
using dm::test::api;
using dm::test::Context;

namespace {

constexpr int kRows = 6;
constexpr int kWidth = 33;
constexpr std::uint64_t kCount = std::uint64_t{kRows} * kWidth;

std::vector<float> values(int salt) {
  std::vector<float> result(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    result[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(salt) * 101) % 64) / 16 - 2;
  }
  return result;
}

/// Activation, norm (with a list that it uploads, and scratch), softmax, a product; with buffers that come and go.
void chain(Context& on, dm_cuda_buffer x, dm_cuda_buffer y) {
  constexpr double kAll = kCount;
  const dm_cuda_buffer a = on.allocate(kCount);
  on.run("DmGelu", {x, a}, {kAll});
  const dm_cuda_buffer norm = on.allocate(1);
  on.run("DmGlobalNorm", {a, x, norm}, {kAll, kAll});
  const dm_cuda_buffer b = on.allocate(kCount);
  on.run("DmDropPath", {a, norm, b}, {1, kAll});
  on.release(a);
  on.release(norm);
  const dm_cuda_buffer c = on.allocate(kCount);
  on.run("Softmax", {b, c}, {kRows, kWidth});
  on.release(b);
  const dm_cuda_buffer shift = on.upload({0.25f});
  on.run("DmDropPath", {c, shift, y}, {1, kAll});
  on.release(c);
  on.release(shift);
}

dm_cuda_graph* record(Context& on, dm_cuda_buffer x, dm_cuda_buffer y) {
  dm_cuda_graph* graph = nullptr;
  on.good(api().capture_begin(on.get()));
  chain(on, x, y);
  on.good(api().capture_end(on.get(), &graph));
  CHECK(graph != nullptr);
  return graph;
}

/// What the chain makes of values(salt) when it is run.
std::vector<float> expected(Context& on, int salt) {
  const dm_cuda_buffer x = on.upload(values(salt));
  const dm_cuda_buffer y = on.allocate(kCount);
  chain(on, x, y);
  std::vector<float> result = on.download(y);
  on.release(x);
  on.release(y);
  return result;
}

}  // namespace

TEST("replayed three times with other inputs it equals plain runs bit for bit") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(0));
  const dm_cuda_buffer y = on.upload(all(kCount, 7));
  dm_cuda_graph* const graph = record(on, x, y);
  CHECK(on.download(y) == all(kCount, 7));
  for (int salt = 1; salt <= 3; ++salt) {
    on.write(x, values(salt));
    on.good(api().replay(on.get(), graph));
    const std::vector<float> got = on.download(y);
    CHECK(got == expected(on, salt));
    CHECK(got != all(kCount, 7));
  }
  api().graph_destroy(on.get(), graph);
}

TEST("a selection and a sort are recorded with all that they find out on the way") {
  constexpr std::size_t kMany = 40000;
  constexpr std::size_t kTop = 1100;
  // The largest numbers, back at their places, where all others are 0.
  const auto keep_top = [](Context& on, dm_cuda_buffer x, dm_cuda_buffer y) {
    const dm_cuda_buffer top = on.allocate(kTop);
    const dm_cuda_buffer places = on.allocate(kTop);
    on.run("TopK", {x, top, places}, {0, 1, kMany, kTop});
    on.run("UnsortedSegmentSum", {top, places, y}, {kMany, kTop, 1});
    on.release(top);
    on.release(places);
  };
  const auto drawn = [](std::size_t salt) {
    std::vector<float> x(kMany);
    for (std::size_t i = 0; i < kMany; ++i) x[i] = static_cast<float>((i * 7919 + salt * 31) % kMany);
    return x;
  };
  Context on;
  const dm_cuda_buffer x = on.upload(drawn(0));
  const dm_cuda_buffer y = on.allocate(kMany);
  dm_cuda_graph* graph = nullptr;
  on.good(api().capture_begin(on.get()));
  keep_top(on, x, y);
  on.good(api().capture_end(on.get(), &graph));
  for (std::size_t salt = 1; salt <= 2; ++salt) {
    on.write(x, drawn(salt));
    on.good(api().replay(on.get(), graph));
    // The numbers are 0..39999, each once: the largest 1100 are known.
    std::vector<float> wanted = drawn(salt);
    for (float& value : wanted) value = value >= kMany - kTop ? value : 0;
    CHECK(on.download(y) == wanted);
  }
  api().graph_destroy(on.get(), graph);
}

TEST("its scratch is its own: that of ops may grow, and the old one be handed to others") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(0));
  const dm_cuda_buffer y = on.allocate(kCount);
  const std::vector<float> result = expected(on, 0);  // ops have a scratch as large as the graph's
  dm_cuda_graph* const graph = record(on, x, y);
  std::vector<dm_cuda_buffer> many(60, x);
  many.push_back(on.allocate(1));
  on.run("DmGlobalNorm", many, std::vector<double>(60, kCount));
  std::vector<dm_cuda_buffer> others;
  for (const std::uint64_t count : {64, 128, 192, 256, 512}) others.push_back(on.upload(all(count, 9)));
  on.good(api().replay(on.get(), graph));
  CHECK(on.download(y) == result);
  for (const dm_cuda_buffer& other : others) {
    CHECK(on.download(other) == all(other.bytes / sizeof(float), 9));
  }
  api().graph_destroy(on.get(), graph);
}

TEST("its memory is nobody else's while it lives, and what runs in between does not disturb it") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(0));
  const dm_cuda_buffer y = on.allocate(kCount);
  dm_cuda_graph* const graph = record(on, x, y);
  // As much as was released while recording, and more: of every size, and scratch and lists of other ops.
  std::vector<dm_cuda_buffer> others;
  for (int i = 0; i < 40; ++i) others.push_back(on.upload(all(i % 2 == 0 ? kCount : 1, 9)));
  for (int salt = 1; salt <= 3; ++salt) {
    on.write_staged(x, values(salt));
    on.good(api().replay(on.get(), graph));
    const dm_cuda_buffer later = on.upload(all(kCount, 9));
    const dm_cuda_buffer norm = on.allocate(1);
    on.run("DmGlobalNorm", {later, norm}, {static_cast<double>(kCount)});
    on.good(api().replay(on.get(), graph));
    CHECK(on.download(y) == expected(on, salt));
    CHECK(on.download(later) == all(kCount, 9));
    for (int i = 0; i < 40; ++i) {
      CHECK(on.download(others[static_cast<std::size_t>(i)]) == all(i % 2 == 0 ? kCount : 1, 9));
    }
    on.release(later);
    on.release(norm);
  }
  api().graph_destroy(on.get(), graph);
}

TEST("a buffer from before that is released while recording stays until the graph goes") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(5));
  const dm_cuda_buffer y = on.allocate(kCount);
  const std::vector<float> result = expected(on, 5);
  const std::uint64_t before = on.memory().in_use;
  dm_cuda_graph* graph = nullptr;
  on.good(api().capture_begin(on.get()));
  chain(on, x, y);
  on.release(x);
  on.good(api().capture_end(on.get(), &graph));
  CHECK_EQUAL(on.memory().in_use, before);
  std::vector<dm_cuda_buffer> others;
  for (int i = 0; i < 4; ++i) others.push_back(on.upload(all(kCount, 9)));
  on.good(api().replay(on.get(), graph));
  CHECK(on.download(y) == result);
  for (const dm_cuda_buffer& other : others) on.release(other);
  api().graph_destroy(on.get(), graph);
  CHECK(on.memory().in_use < before);
}

TEST("a buffer that was made while recording outlives the graph, until it is released") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(5));
  dm_cuda_graph* graph = nullptr;
  on.good(api().capture_begin(on.get()));
  const dm_cuda_buffer y = on.allocate(kCount);
  chain(on, x, y);
  on.good(api().capture_end(on.get(), &graph));
  on.good(api().replay(on.get(), graph));
  api().graph_destroy(on.get(), graph);
  std::vector<dm_cuda_buffer> others;
  for (int i = 0; i < 20; ++i) others.push_back(on.upload(all(kCount, 9)));
  CHECK(on.download(y) == expected(on, 5));
  on.release(y);
}

TEST("a graph that goes gives everything back, replays under way or not") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(1));
  const dm_cuda_buffer y = on.allocate(kCount);
  const std::vector<float> result = expected(on, 1);
  for (int i = 0; i < 3; ++i) {
    dm_cuda_graph* const graph = record(on, x, y);
    on.write(y, all(kCount, 7));
    for (int turn = 0; turn < i; ++turn) on.good(api().replay(on.get(), graph));
    api().graph_destroy(on.get(), graph);
    CHECK(on.download(y) == (i == 0 ? all(kCount, 7) : result));
  }
  on.release(x);
  on.release(y);
  on.good(api().trim(on.get()));
  CHECK_EQUAL(on.memory().in_use, std::uint64_t{0});
  CHECK_EQUAL(on.memory().workspace, std::uint64_t{0});
  CHECK_EQUAL(on.memory().cached, std::uint64_t{0});
  CHECK_EQUAL(on.memory().staging, std::uint64_t{0});
}

TEST("two graphs share nothing") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(1));
  const dm_cuda_buffer y = on.allocate(kCount);
  const dm_cuda_buffer z = on.allocate(kCount);
  dm_cuda_graph* const one = record(on, x, y);
  dm_cuda_graph* const two = record(on, y, z);
  on.good(api().replay(on.get(), one));
  on.good(api().replay(on.get(), two));
  on.good(api().replay(on.get(), one));
  const std::vector<float> first = expected(on, 1);
  CHECK(on.download(y) == first);
  api().graph_destroy(on.get(), one);
  on.good(api().replay(on.get(), two));
  const std::vector<float> second = on.download(z);
  chain(on, y, y);
  CHECK(on.download(y) == second);
  api().graph_destroy(on.get(), two);
}

TEST("a fetch that was started before a capture ends in it, and staging memory is taken") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(1));
  const dm_cuda_buffer y = on.allocate(kCount);
  dm_cuda_fetch* fetch = nullptr;
  dm_cuda_graph* graph = nullptr;
  on.good(api().fetch(on.get(), x, x.bytes, &fetch));
  on.good(api().capture_begin(on.get()));
  on.write_staged(y, values(2));
  chain(on, y, y);
  std::vector<float> got(kCount);
  CHECK_EQUAL(api().fetch_wait(fetch, got.data()), DM_CUDA_OK);
  api().fetch_end(on.get(), fetch);
  CHECK(got == values(1));
  CHECK_EQUAL(api().fetch(on.get(), x, x.bytes, &fetch), DM_CUDA_INVALID_ARGUMENT);
  on.good(api().capture_end(on.get(), &graph));
  // What fills the pinned memory of the recorded copies now would be seen.
  for (int i = 0; i < 20; ++i) on.release(on.upload(all(kCount, 9)));
  for (int turn = 0; turn < 2; ++turn) {
    on.good(api().replay(on.get(), graph));
    CHECK(on.download(y) == expected(on, 2));
  }
}

TEST("a context may end while it records, and while graphs and fetches are left") {
  Context on;
  const dm_cuda_buffer x = on.upload(values(1));
  const dm_cuda_buffer y = on.allocate(kCount);
  dm_cuda_fetch* fetch = nullptr;
  on.good(api().fetch(on.get(), x, x.bytes, &fetch));
  record(on, x, y);
  on.good(api().capture_begin(on.get()));
  chain(on, x, y);
}

#ifdef DM_CUDA_EMULATED

TEST("without memory left a capture says so and goes on") {
  dm::cuda::emulator::Machine& machine = dm::cuda::emulator::machine();
  const std::size_t before = machine.memory;
  machine.memory = std::size_t{64} << 20;
  {
    Context on;
    const dm_cuda_buffer x = on.upload(values(1));
    const dm_cuda_buffer y = on.allocate(kCount);
    dm_cuda_buffer none{};
    dm_cuda_graph* graph = nullptr;
    on.good(api().capture_begin(on.get()));
    CHECK_EQUAL(api().allocate(on.get(), 1 << 28, &none), DM_CUDA_OUT_OF_MEMORY);
    chain(on, x, y);
    on.good(api().capture_end(on.get(), &graph));
    on.good(api().replay(on.get(), graph));
    CHECK(on.download(y) == expected(on, 1));
  }
  machine.memory = before;
}

#endif
