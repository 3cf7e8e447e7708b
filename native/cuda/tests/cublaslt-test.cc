// SPDX-License-Identifier: Apache-2.0
// Products by a library: what is asked of it (of a fake one here, on host memory), what our own passes add to it, which algorithm is chosen,
// and what happens when there is none.
#include "cuda/device/cublaslt.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention-branch-case.h"
#include "cuda/branch-rows.h"
#include "cuda/matmul.h"
#include "device-run.h"
#include "mlp-branch-case.h"

using dm::cuda::CublasLt;
using dm::cuda::Device;
using dm::cuda::LibraryProduct;
using dm::test::attention_branch_kinds;
using dm::test::AttentionBranchCase;
using dm::test::AttentionBranchOptions;
using dm::test::device;
using dm::test::MlpBranchCase;
using dm::test::run_device_op;

namespace {

class Clock : public dm::cuda::StreamClock {
 public:
  bool capturing() override { return is_capturing; }
  double milliseconds(const std::function<void()>& work) override {
    work();
    ++measured;
    if (!times.empty()) return times.at(static_cast<std::size_t>(measured) - 1);
    return measured == 1 ? first_time : 1;
  }
  bool is_capturing = false;
  double first_time = 2;
  std::vector<double> times;
  int measured = 0;
};

}  // namespace

TEST("a library that is not there, or that is none, is no fault") {
  Clock clock;
  CHECK(CublasLt::load("/nowhere/libcublasLt.so.13", device(), clock, true) == nullptr);
  CHECK(CublasLt::load("libc.so.6", device(), clock, true) == nullptr);
  CHECK_EQUAL(device().status().message(), "");
}

#ifdef DM_FAKE_CUBLASLT

#include "cuda/emulator/cuda-runtime.h"

namespace {

template <class Function>
Function of_fake(const char* name) {
  void* const library = dlopen(DM_FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function>(dlsym(library, name));
}

/// A device whose products go to the fake library; everything else to the emulator.
class WithLibrary : public Device {
 public:
  explicit WithLibrary(Device& on, bool keep = false)
      : on_(on), library_(CublasLt::load(DM_FAKE_CUBLASLT, *this, clock, true, keep)) {
    of_fake<void (*)(void (*)(void*, std::function<void()>))>("fake_use_streams")(
        [](void* stream, std::function<void()> work) {
          static_cast<void>(dm::cuda::emulator::enqueue(stream, nullptr, {}, std::move(work)));
        });
  }
  ~WithLibrary() override { shadows().clear(); }

  void* allocate(std::size_t bytes) override { return on_.allocate(bytes); }
  void release(void* data) override {
    shadows().drop(data);
    on_.release(data);
  }
  void upload(void* to, const void* from, std::size_t bytes) override {
    shadows().drop(to, bytes);
    on_.upload(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    on_.download(to, from, bytes);
  }
  void synchronize() override { on_.synchronize(); }
  void* stream() const override { return on_.stream(); }
  dm::cuda::DeviceFacts facts() override { return on_.facts(); }
  int multiprocessors() const override { return on_.multiprocessors(); }
  void* scratch(std::size_t bytes) override { return on_.scratch(bytes); }
  void hide(const void* data, std::size_t bytes) override { on_.hide(data, bytes); }
  std::uint64_t order() const override { return on_.order(); }
  void launched(const char* error) override { on_.launched(error); }
  bool multiply(const LibraryProduct& product) override {
    const bool taken = library_ != nullptr && library_->multiply(product);
    ++(taken ? products : refused);
    if (taken) on_.launched(nullptr);
    return taken;
  }

  Clock clock;
  int products = 0;
  int refused = 0;

 private:
  Device& on_;
  std::unique_ptr<CublasLt> library_;
};

int last_algorithm() { return of_fake<int (*)()>("fake_last_algorithm")(); }
void refuse_sums(bool now) { of_fake<void (*)(bool)>("fake_refuse_sums")(now); }
int products_with_sums() { return of_fake<int (*)()>("fake_products_with_sums")(); }
void break_library(bool now) { of_fake<void (*)(bool)>("fake_break")(now); }

/// Runs ops on a device whose products go to the fake library.
struct RunWithLibrary {
  WithLibrary& on;
  std::string operator()(const char* name, const std::vector<dm::Buffer>& buffers,
                         const std::vector<double>& numbers) const {
    return dm::test::run_op_on(on, name, buffers, numbers);
  }
};

/// A folder of its own, while it lives.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "diffmavil-cublaslt-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path path;
};

/// c [4, 8] = a [4, 16] b [16, 8] of ones.
std::vector<float> product_of_ones(WithLibrary& on, const dm::MatmulDescription& d) {
  std::vector<float> a(64, 1.0f), b(128, 1.0f), c(32, 3.0f);
  const dm::test::DeviceCopy there_a(a), there_b(b), there_c(c);
  on.clear();
  dm::cuda::matmul(on, d, there_a.data(), there_b.data(), there_c.data());
  there_c.fetch();
  CHECK_EQUAL(on.status().message(), "");
  return c;
}

dm::MatmulDescription ones() {
  dm::MatmulDescription d;
  d.m = 4;
  d.k = 16;
  d.n = 8;
  d.a = dm::row_major(16);
  d.b = dm::row_major(8);
  d.c = dm::row_major(8);
  return d;
}

}  // namespace

TEST("both branches equal float64 with the library's products and our passes after them") {
  WithLibrary on(device());
  const RunWithLibrary run{on};
  for (const bool scaled : {false, true}) {
    MlpBranchCase(2, 5, 12, 20, scaled, false).check(run, 5e-6);
    MlpBranchCase(2, 5, 12, 20, scaled, true).check(run, 1.0 / 64);
  }
  for (AttentionBranchOptions options : attention_branch_kinds()) {
    AttentionBranchCase(options).check(run, 1e-5);
    options.bfloat16 = true;
    AttentionBranchCase(options).check(run, 1.0 / 32);
  }
  CHECK(on.products > 100);
  CHECK_EQUAL(on.refused, 0);
}

TEST("batches, transposed or not, of matrices anywhere in memory, equal those of our kernels") {
  WithLibrary on(device());
  for (int layout = 0; layout < 4; ++layout) {
    std::vector<float> a = dm::test::noise(6 * 5 * 7, 1);
    std::vector<float> b = dm::test::noise(2 * 7 * 3, 2);
    std::vector<float> ours = dm::test::unwritten(6 * 5 * 3);
    std::vector<float> theirs = ours;
    const double a_transposed = layout % 2;
    const double b_transposed = layout / 2;
    const std::vector<double> numbers{5, 7, 3, a_transposed, b_transposed, 0, 2, 2, 3, 2, 1};
    using dm::test::buffer_of;
    CHECK_EQUAL(run_device_op("BatchMatMul", {buffer_of(a), buffer_of(b), buffer_of(ours)}, numbers), "");
    CHECK_EQUAL(RunWithLibrary{on}("BatchMatMul", {buffer_of(a), buffer_of(b), buffer_of(theirs)}, numbers), "");
    CHECK_ERROR(dm::test::relative_error(theirs, ours), 1e-6);
  }
  CHECK(on.products > 0);
  CHECK_EQUAL(on.refused, 0);
}

TEST("accumulates") {
  WithLibrary on(device());
  dm::MatmulDescription d = ones();
  d.accumulate = true;
  CHECK(product_of_ones(on, d) == std::vector<float>(32, 19.0f));
  CHECK_EQUAL(on.products, 1);
  CHECK_EQUAL(on.clock.measured, 0);
}

TEST("the faster answer is kept; the first when it is as good, and when a graph is being captured") {
  {
    WithLibrary on(device());
    CHECK(product_of_ones(on, ones()) == std::vector<float>(32, 16.0f));
    CHECK_EQUAL(last_algorithm(), 1);
    CHECK_EQUAL(on.clock.measured, 2);
    product_of_ones(on, ones());
    CHECK_EQUAL(on.clock.measured, 2);
  }
  {
    WithLibrary on(device());
    on.clock.first_time = 1.02;
    product_of_ones(on, ones());
    CHECK_EQUAL(last_algorithm(), 0);
  }
  WithLibrary on(device());
  on.clock.is_capturing = true;
  product_of_ones(on, ones());
  CHECK_EQUAL(last_algorithm(), 0);
  CHECK_EQUAL(on.clock.measured, 0);
}

TEST("what was chosen is chosen again by later processes, without measuring") {
  const TemporaryFolder folder;
  const std::string file = folder.path / "choices.txt";
  const auto content = [&](const std::string& text) { std::ofstream(file) << text; };
  content("");
  setenv("DIFFMAVIL_CUBLASLT_CHOICES", file.c_str(), 1);
  const auto measured = [] {
    WithLibrary on(device(), true);
    CHECK(product_of_ones(on, ones()) == std::vector<float>(32, 16.0f));
    CHECK_EQUAL(last_algorithm(), 1);
    return on.clock.measured;
  };
  CHECK_EQUAL(measured(), 2);
  std::string line;
  std::getline(std::ifstream(file), line);
  CHECK_EQUAL(measured(), 0);
  // Cut short, of another form, or of an answer that there is none of: as if it were not there.
  content(line.substr(0, line.size() - 2));
  CHECK_EQUAL(measured(), 2);
  content("no choices\n");
  CHECK_EQUAL(measured(), 2);
  content(line.substr(0, line.size() - 3) + "7 .\n");
  CHECK_EQUAL(measured(), 2);
  // What cannot be written lasts as long as the process.
  setenv("DIFFMAVIL_CUBLASLT_CHOICES", "/dev/null/choices.txt", 1);
  CHECK_EQUAL(measured(), 2);
  CHECK_EQUAL(measured(), 2);
  unsetenv("DIFFMAVIL_CUBLASLT_CHOICES");
}

TEST("choices are kept in the user's cache, by version and device") {
  const auto path = [] { return dm::cuda::ProductChoices::path_from_environment(130100, "NVIDIA H200/2"); };
  setenv("XDG_CACHE_HOME", "/cache", 1);
  CHECK_EQUAL(path(), "/cache/diffmavil/cublaslt-130100-NVIDIA-H200-2.txt");
  setenv("XDG_CACHE_HOME", "relative", 1);
  setenv("HOME", "/people/me", 1);
  CHECK_EQUAL(path(), "/people/me/.cache/diffmavil/cublaslt-130100-NVIDIA-H200-2.txt");
  unsetenv("HOME");
  CHECK_EQUAL(path(), "");
  setenv("DIFFMAVIL_CUBLASLT_CHOICES", "off", 1);
  CHECK_EQUAL(path(), "");
  unsetenv("DIFFMAVIL_CUBLASLT_CHOICES");
}

TEST("a library that fails leaves the product to our kernels") {
  WithLibrary on(device());
  break_library(true);
  CHECK(product_of_ones(on, ones()) == std::vector<float>(32, 16.0f));
  break_library(false);
  CHECK_EQUAL(on.refused, 1);
  CHECK_EQUAL(on.products, 0);
}

namespace {

/// c [4, 8] = a b of a stored as [16, 4], and the sums of a's columns: which are right, whoever added them up.
void product_with_sums(WithLibrary& on) {
  std::vector<float> a = dm::test::noise(64, 1), b(128, 1.0f), c = dm::test::unwritten(32), sums = dm::test::unwritten(4);
  dm::MatmulDescription d = ones();
  d.a = dm::transposed(4);
  const dm::test::DeviceCopy there_a(a), there_b(b), there_c(c), there_sums(sums);
  const std::unique_ptr<void, void (*)(void*)> scratch(
      on.allocate(static_cast<std::size_t>(dm::cuda::column_sums_scratch(on, 16, 4))),
      [](void* data) { device().release(data); });
  on.clear();
  dm::cuda::matmul(on, d, there_a.data(), there_b.data(), there_c.data(),
                   {.of_a = there_sums.floats(), .scratch = scratch.get()});
  there_c.fetch();
  there_sums.fetch();
  CHECK_EQUAL(on.status().message(), "");
  std::vector<double> expected(4), product;
  for (std::size_t i = 0; i < 64; ++i) expected[i % 4] += static_cast<double>(a[i]);
  for (const double sum : expected) product.insert(product.end(), 8, sum);
  CHECK_ERROR(dm::test::relative_error(sums, expected), 1e-6);
  CHECK_ERROR(dm::test::relative_error(c, product), 1e-6);
}

}  // namespace

TEST("sums of an operand come with the product; a second product asks for no times") {
  WithLibrary on(device());
  const int before = products_with_sums();
  product_with_sums(on);
  const int measured = on.clock.measured;
  CHECK_EQUAL(measured, 5);
  CHECK(products_with_sums() > before);
  const int first = products_with_sums();
  product_with_sums(on);
  CHECK_EQUAL(products_with_sums() - first, 1);
  CHECK_EQUAL(on.clock.measured, measured);
}

TEST("sums of an operand are a pass of our own where that is faster, where the library has none, and where it fails") {
  {
    // Two answers with sums, two without, our own pass.
    WithLibrary on(device());
    on.clock.times = {9, 8, 4, 5, 3};
    product_with_sums(on);
    CHECK_EQUAL(on.clock.measured, 5);
    const int before = products_with_sums();
    product_with_sums(on);
    CHECK_EQUAL(products_with_sums(), before);
  }
  {
    WithLibrary on(device());
    refuse_sums(true);
    product_with_sums(on);
    refuse_sums(false);
    CHECK_EQUAL(on.products, 1);
    CHECK_EQUAL(on.refused, 1);
  }
  WithLibrary on(device());
  break_library(true);
  product_with_sums(on);
  break_library(false);
  CHECK_EQUAL(on.products, 0);
}

TEST("a bias anywhere in memory is what the algorithm was asked for") {
  WithLibrary on(device());
  std::vector<float> bias = dm::test::noise(12, 4), a(64, 1.0f), b(128, 1.0f), c(32);
  const dm::test::DeviceCopy there_a(a), there_b(b), there_c(c), there_bias(bias);
  dm::MatmulDescription d = ones();
  // The same product, once beginning at the block and once one number into it.
  for (std::size_t first = 0; first < 2; ++first) {
    d.epilogue.bias = there_bias.floats() + first;
    dm::cuda::matmul(on, d, there_a.data(), there_b.data(), there_c.data());
    there_c.fetch();
    for (std::size_t k = 0; k < 32; ++k) CHECK_EQUAL(c[k], 16.0f + bias[first + k % 8]);
  }
  CHECK_EQUAL(on.products, 2);
  CHECK_EQUAL(on.refused, 0);
}

TEST("a bias of a product of bfloat16 is rounded once") {
  WithLibrary on(device());
  std::vector<float> bias = dm::test::noise(8, 4);
  std::vector<std::uint16_t> a(64, 0x3f80), b(128, 0x3f80), c(32);
  dm::MatmulDescription d = ones();
  for (dm::MatrixLayout* layout : {&d.a, &d.b, &d.c}) layout->type = dm::MatrixType::kBFloat16;
  d.product = dm::MatrixType::kBFloat16;
  const dm::test::DeviceCopy there_a(a), there_b(b), there_c(c), there_bias(bias);
  d.epilogue.bias = there_bias.floats();
  for (int i = 0; i < 2; ++i) {
    dm::cuda::matmul(on, d, there_a.data(), there_b.data(), there_c.data());
    there_c.fetch();
    CHECK_EQUAL(on.shadows().made(), 1);
    for (std::size_t k = 0; k < 32; ++k) {
      const float got = dm::cuda::to_float(dm::cuda::bf16{c[k]});
      CHECK_ERROR(std::abs(got - (16.0f + bias[k % 8])), 1.0f / 8);
    }
  }
  CHECK_EQUAL(on.refused, 0);
}

#endif
