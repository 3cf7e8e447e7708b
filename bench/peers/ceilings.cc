// SPDX-License-Identifier: Apache-2.0
// What the machine can do at most: multiply-adds from registers, and STREAM's triad. Prints one JSON object.
// Built for the machine it runs on: g++ -O3 -march=native -std=c++20 -pthread ceilings.cc; argument: threads.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16, kAccumulators = 24;
#elif defined(__AVX__)
constexpr int kWidth = 8, kAccumulators = 12;
#else
constexpr int kWidth = 4, kAccumulators = 12;
#endif
constexpr int kTrials = 25;
constexpr long kLoops = 2'000'000;
typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));

double seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/** The shortest of several trials of `part(thread)` on all threads at once. */
double best_seconds(int threads, const std::function<void(int)>& part) {
  double best = 1e9;
  for (int trial = 0; trial < kTrials; ++trial) {
    best = std::min(best, seconds([&] {
      std::vector<std::thread> workers;
      for (int i = 1; i < threads; ++i) workers.emplace_back(part, i);
      part(0);
      for (auto& worker : workers) worker.join();
    }));
  }
  return best;
}

volatile float sink;

void multiply_add(int) {
  volatile float source = 0.999f;
  Vector accumulators[kAccumulators];
  for (auto& x : accumulators) x = Vector{} + source;  // volatile: equal ones would be merged
  const Vector factor = Vector{} + source, addend = Vector{} + source;
  for (long i = 0; i < kLoops; ++i) {
#pragma GCC unroll 32  // or the accumulators live in memory
    for (auto& x : accumulators) x = x * factor + addend;
  }
  Vector sum = {};
  for (const auto& x : accumulators) sum += x;
  sink = sum[0];
}

#ifdef __AVX512BF16__
void multiply_add_bfloat16(int) {
  volatile float source = 0.001f;
  __m512 accumulators[kAccumulators];
  for (auto& x : accumulators) x = _mm512_set1_ps(source);
  const __m512bh a = _mm512_cvtne2ps_pbh(accumulators[0], accumulators[1]), b = a;
  for (long i = 0; i < kLoops; ++i) {
#pragma GCC unroll 32
    for (auto& x : accumulators) x = _mm512_dpbf16_ps(x, a, b);
  }
  __m512 sum = accumulators[0];
  for (const auto& x : accumulators) sum = _mm512_add_ps(sum, x);
  sink = sum[0];
}
#endif

/** GB/s of a[i] = b[i] + s * c[i], counted as STREAM does: two reads and one write. */
double triad(int threads) {
  constexpr long kElements = 32L << 20;
  std::vector<float> a(kElements), b(kElements, 1.0f), c(kElements, 2.0f);
  const double time = best_seconds(threads, [&](int thread) {
    const long begin = kElements * thread / threads, end = kElements * (thread + 1) / threads;
    for (long i = begin; i < end; ++i) a[i] = b[i] + 3.0f * c[i];
  });
  sink = a[kElements / 2];
  return 3.0 * sizeof(float) * kElements / time / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  if (argc > 2 && std::string_view(argv[2]) == "triad") {
    std::printf("%.1f\n", triad(threads));
    return 0;
  }
  const double lanes = static_cast<double>(kLoops) * kAccumulators * kWidth * threads;
  const double float32 = 2.0 * lanes / best_seconds(threads, multiply_add) / 1e9;
  std::printf("{\"threads\": %d, \"float32GflopPerS\": %.1f, ", threads, float32);
#ifdef __AVX512BF16__
  const double bfloat16 = 4.0 * lanes / best_seconds(threads, multiply_add_bfloat16) / 1e9;
  std::printf("\"bfloat16GflopPerS\": %.1f, ", bfloat16);
#else
  std::printf("\"bfloat16GflopPerS\": null, ");
#endif
  std::printf("\"triadGBPerS\": %.1f}\n", triad(threads));
}
