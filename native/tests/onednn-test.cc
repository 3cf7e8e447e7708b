// SPDX-License-Identifier: Apache-2.0
// oneDNN is found, linked and runs, from several threads at once; the numbers of a product that can be done in the head.
#include "cpu/onednn.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "cpu/product.h"

namespace {

using dm::cpu::MatrixLayout;
using dm::cpu::row_major;
using dm::cpu::transposed;

constexpr float kUntouched = -7;

/// Makes and runs one product of small sizes, of ones; whether all of the result and nothing beyond it was written.
bool product_is_right(std::mt19937& random) {
  const auto below = [&random](unsigned limit) { return static_cast<std::int64_t>(random() % limit); };
  dm::cpu::ProductShape shape;
  shape.m = 1 + below(6);
  shape.k = 1 + below(6);
  shape.n = 1 + below(6);
  shape.a = below(2) == 0 ? row_major(shape.k) : transposed(shape.m);
  shape.b = below(2) == 0 ? row_major(shape.n) : transposed(shape.k);
  shape.c = row_major(shape.n);
  shape.biased = below(4) == 0;
  const dm::cpu::Product product(shape);
  const std::vector<float> ones(64, 1);
  alignas(64) float c[64];
  for (float& value : c) value = kUntouched;
  std::vector<std::byte> scratch(product.scratch_bytes() + dm::kAlignment);
  const auto start = reinterpret_cast<std::uintptr_t>(scratch.data());
  std::byte* aligned = scratch.data() + (dm::kAlignment - start % dm::kAlignment) % dm::kAlignment;
  product.run(ones.data(), ones.data(), shape.biased ? ones.data() : nullptr, c, aligned);
  const auto expected = static_cast<float>(shape.k + (shape.biased ? 1 : 0));
  for (std::int64_t i = 0; i < 64; ++i) {
    if (c[i] != (i < shape.m * shape.n ? expected : kUntouched)) return false;
  }
  return true;
}

}  // namespace

TEST("multiplies two matrices") {
  std::vector<float> a{1, 2, 3, 4};
  std::vector<float> b{5, 6, 7, 8};
  std::vector<float> c(4);
  dnnl::stream& stream = dm::cpu::onednn_stream();
  CHECK_EQUAL(dnnl_sgemm('N', 'N', 2, 2, 2, 1.0f, a.data(), 2, b.data(), 2, 0.0f, c.data(), 2),
              dnnl_success);
  stream.wait();
  CHECK(c == (std::vector<float>{19, 22, 43, 50}));
}

TEST("products made by several threads at once are those that were asked for") {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (unsigned seed = 0; seed < 6; ++seed) {
    threads.emplace_back([&wrong, seed, end] {
      std::mt19937 random(seed);
      while (std::chrono::steady_clock::now() < end) wrong += product_is_right(random) ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(wrong.load(), 0);
}
