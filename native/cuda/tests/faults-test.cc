// SPDX-License-Identifier: Apache-2.0
// What is said when there is no device, when one is of another kind, and when one is lost. The emulated runtime plays those machines.
#include "cuda/core/architectures.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "api-run.h"

using dm::cuda::architecture_names;
using dm::cuda::runs_on;

TEST("code for one architecture runs on it and on later ones of its kind, as nvcc says") {
  const char* const built = "80-real 90a-real 100-real";
  CHECK(runs_on(built, 8, 0));
  CHECK(runs_on(built, 8, 9));
  CHECK(runs_on(built, 9, 0));
  CHECK(runs_on(built, 10, 0));
  CHECK(runs_on(built, 10, 3));
  CHECK(!runs_on(built, 7, 5));
  CHECK(!runs_on(built, 12, 0));
  CHECK(!runs_on("90a-real", 9, 1));
  CHECK(!runs_on("86-real", 8, 0));
  CHECK(runs_on("80", 12, 0));          // translated when it is loaded
  CHECK(runs_on("80-virtual", 9, 0));
  CHECK(runs_on("native", 7, 5));
  CHECK_EQUAL(architecture_names(built), "sm_80, sm_90a, sm_100");
}

#ifdef DM_CUDA_EMULATED

#include "cuda/emulator/cuda-runtime.h"

using dm::cuda::emulator::fault_at;
using dm::cuda::emulator::Machine;
using dm::cuda::emulator::machine;
using dm::cuda::emulator::repair;
using dm::test::all;
using dm::test::api;
using dm::test::Context;

namespace {

/// What `create` says of device `index` of another machine.
std::string refusal(const Machine& other, std::int32_t index, dm_cuda_status wanted) {
  const Machine before = machine();
  machine() = other;
  dm_cuda_context* context = nullptr;
  CHECK_EQUAL(api().create(index, &context), wanted);
  CHECK(context == nullptr);
  machine() = before;
  return api().message(nullptr);
}

const char* const kSaid = "'an illegal memory access was encountered'";
const char* const kTry = "Try: DIFFMAVIL_CUDA_SYNC=1, which names the op that did it";

std::string lost(const std::string& where, const std::string& op) {
  return where + ": expected what was started before to end well, got " + kSaid +
         " (the last op started was " + op + "). " + kTry;
}

void check_refuses(Context& on) {
  CHECK_EQUAL(api().synchronize(on.get()), DM_CUDA_DEVICE_LOST);
  CHECK_EQUAL(on.message(),
              "device: expected a device in order, got one that an earlier fault has spoilt. Try: "
              "start the process again");
  dm_cuda_buffer buffer{};
  CHECK_EQUAL(api().allocate(on.get(), 4, &buffer), DM_CUDA_DEVICE_LOST);
  CHECK(buffer.data == nullptr);
}

}  // namespace

TEST("tells a driver that is missing from one that is old, and from one that shows no device") {
  Machine none;
  none.driver = 0;
  const std::string where = "device: expected a GPU and its driver, got ";
  CHECK_EQUAL(refusal(none, 0, DM_CUDA_NO_DEVICE),
              where + "no driver: libcuda.so.1 is missing. Try: install NVIDIA's driver; in a "
                      "container, hand the GPU in (--gpus all)");
  Machine old;
  old.driver = 12040;
  CHECK_EQUAL(refusal(old, 0, DM_CUDA_NO_DEVICE),
              where + "a driver for CUDA 12.4 where CUDA 13.0 is needed. Try: a newer driver");
  Machine empty;
  empty.devices = 0;
  CHECK_EQUAL(refusal(empty, 0, DM_CUDA_NO_DEVICE),
              where + "a driver that shows none. Try: nvidia-smi tells what it sees, and "
                      "CUDA_VISIBLE_DEVICES hides what it lists not");
}

TEST("names the devices there are, and the architectures that were built") {
  Machine two;
  two.devices = 2;
  CHECK_EQUAL(refusal(two, 2, DM_CUDA_INVALID_ARGUMENT),
              "create: expected a device 0..1, got 2. Try: device 0");
  Machine turing;
  turing.major = 7;
  turing.minor = 5;
  CHECK_EQUAL(refusal(turing, 0, DM_CUDA_UNSUPPORTED),
              "create: expected a GPU of sm_80, sm_90a, sm_100, got sm_75. Try: sm_80 or later, whose "
              "instructions the kernels use");
  Machine newer;
  newer.major = 12;
  CHECK_EQUAL(refusal(newer, 0, DM_CUDA_UNSUPPORTED),
              "create: expected a GPU of sm_80, sm_90a, sm_100, got sm_120. Try: npx "
              "diffmavil-native build --cuda --arch 120 (nvcc); in a checkout cmake "
              "-DDIFFMAVIL_CUDA_ARCHITECTURES=120-real native/build-cuda, then npm run build:cuda");
}

TEST("a device that does not start leaves nothing behind for another") {
  const Machine before = machine();
  machine().devices = 2;
  machine().busy = 0;
  dm_cuda_context* context = nullptr;
  CHECK_EQUAL(api().create(0, &context), DM_CUDA_INTERNAL);
  CHECK_EQUAL(std::string(api().message(nullptr)),
              "create: expected device 0 to start, got CUDA-capable device(s) is/are busy or "
              "unavailable. Try: nvidia-smi tells whether somebody holds it alone");
  CHECK_EQUAL(api().create(1, &context), DM_CUDA_OK);
  dm_cuda_buffer out{};
  CHECK_EQUAL(api().allocate(context, 4, &out), DM_CUDA_OK);
  const double fill[3] = {0, 1, 7};
  CHECK_EQUAL(api().run(context, api().find("Fill"), &out, 1, fill, 3), DM_CUDA_OK);
  api().destroy(context);
  machine() = before;
}

TEST("a block that wants more shared memory than there is refuses one op, and no other") {
  Context on;
  constexpr std::uint64_t kWidth = 30000;  // 240,000 bytes of sums in shared memory
  const dm_cuda_buffer row = on.upload(all(kWidth, 1));
  const dm_cuda_buffer out = on.allocate(kWidth);
  const dm_cuda_buffer one = on.upload({1});
  CHECK_EQUAL(on.try_run("DmLayerNormGrad", {row, row, row, one, one, out, out, out}, {1, kWidth}),
              DM_CUDA_UNSUPPORTED);
  CHECK_EQUAL(on.message(),
              "DmLayerNormGrad: launch: expected 240000 bytes of shared memory, got invalid argument");
  on.run("DmGelu", {row, out}, {kWidth});
}

TEST("a kernel that faults is told once by what waits next, and then everything is refused") {
  {
    Context on;
    const dm_cuda_buffer x = on.upload({1, 2});
    on.run("DmGelu", {x, x}, {2});
    on.good(api().synchronize(on.get()));
    on.run("DmGelu", {x, x}, {2});
    fault_at(1);
    CHECK_EQUAL(api().synchronize(on.get()), DM_CUDA_DEVICE_LOST);
    CHECK_EQUAL(on.message(), lost("synchronize", "DmGelu"));
    check_refuses(on);
  }
  repair();
}

TEST("a fault that the driver tells when the next op starts is told by that op") {
  {
    Context on;
    Context other;
    const dm_cuda_buffer x = on.upload({1, 2});
    on.run("DmGelu", {x, x}, {2});
    fault_at(1);
    // Another context's wait has the work of this one run, or its own next op does.
    CHECK_EQUAL(api().synchronize(on.get()), DM_CUDA_DEVICE_LOST);
    const dm_cuda_buffer none{};
    CHECK_EQUAL(other.try_run("DmGelu", {none, none}, {0}), DM_CUDA_DEVICE_LOST);
    CHECK_EQUAL(other.message(), lost("device", "none"));
  }
  repair();
}

TEST("DIFFMAVIL_CUDA_SYNC=1 names the op whose kernel faults") {
  setenv("DIFFMAVIL_CUDA_SYNC", "1", 1);
  {
    Context on;
    const dm_cuda_buffer x = on.upload(all(4, 1));
    on.run("DmGelu", {x, x}, {4});
    fault_at(1);
    CHECK_EQUAL(on.try_run("Softmax", {x, x}, {1, 4}), DM_CUDA_DEVICE_LOST);
    CHECK_EQUAL(on.message(), std::string("Softmax: expected its kernels to end well, got ") +
                                  kSaid + ". Try: compute-sanitizer, which names the line");
    check_refuses(on);
  }
  repair();
  unsetenv("DIFFMAVIL_CUDA_SYNC");
}

TEST("a fetch behind a kernel that faults says so, and brings nothing") {
  {
    Context on;
    const dm_cuda_buffer x = on.upload({1, 2});
    on.good(api().synchronize(on.get()));
    on.run("DmGelu", {x, x}, {2});
    dm_cuda_fetch* fetch = nullptr;
    on.good(api().fetch(on.get(), x, 8, &fetch));
    fault_at(1);
    float got[2] = {7, 7};
    CHECK_EQUAL(api().fetch_wait(fetch, got), DM_CUDA_DEVICE_LOST);
    CHECK_EQUAL(std::string(api().message(nullptr)),
                std::string("fetch_wait: expected what was started before to end well, got ") +
                    kSaid + ". " + kTry);
    CHECK_EQUAL(got[0], 7.0f);
    api().fetch_end(on.get(), fetch);
  }
  repair();
}

TEST("a replay that faults loses the device too, and everything can be ended") {
  {
    Context on;
    const dm_cuda_buffer x = on.upload({1, 2});
    dm_cuda_graph* graph = nullptr;
    on.good(api().capture_begin(on.get()));
    on.run("DmGelu", {x, x}, {2});
    on.good(api().capture_end(on.get(), &graph));
    on.good(api().synchronize(on.get()));
    on.good(api().replay(on.get(), graph));
    fault_at(1);
    std::vector<float> got(2);
    CHECK_EQUAL(api().download(on.get(), got.data(), x, 8), DM_CUDA_DEVICE_LOST);
    CHECK_EQUAL(on.message(), lost("download", "DmGelu"));
    api().graph_destroy(on.get(), graph);
  }
  repair();
}

TEST("a context that is opened after a fault was repaired works") {
  Context on;
  const dm_cuda_buffer x = on.upload({1, 2});
  CHECK((on.download(x) == std::vector<float>{1, 2}));
}

#endif
