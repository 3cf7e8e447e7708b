// SPDX-License-Identifier: Apache-2.0
// A row in two passes, first for the value, then for its place; columns in one.
#include "cpu/simd/arg-reduce.h"

namespace dm::cpu::DM_ISA {
namespace {

template <bool kMost, typename T>
bool beats(T a, T b) {
  return kMost ? a > b : a < b;
}

template <bool kMost, typename T>
std::int32_t place_in_row(const T* x, std::int64_t count) {
  constexpr int kLanes = 64;
  if (x[0] != x[0]) return 0;
  T best = x[0];
  std::int64_t i = 0;
  if (count >= kLanes) {
    T lanes[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = x[0];
    for (; i + kLanes <= count; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        lanes[lane] = beats<kMost>(x[i + lane], lanes[lane]) ? x[i + lane] : lanes[lane];
      }
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      best = beats<kMost>(lanes[lane], best) ? lanes[lane] : best;
    }
  }
  for (; i < count; ++i) best = beats<kMost>(x[i], best) ? x[i] : best;
  std::int64_t place = 0;
  while (x[place] != best) ++place;
  return static_cast<std::int32_t>(place);
}

template <bool kMost, typename T>
void place_in_columns(const T* __restrict x, std::int64_t stride, std::int64_t rows,
                      std::int64_t count, T* __restrict best, std::int32_t* __restrict place) {
  for (std::int64_t i = 0; i < count; ++i) {
    best[i] = x[i];
    place[i] = 0;
  }
  for (std::int64_t row = 1; row < rows; ++row) {
    const T* next = x + row * stride;
    const auto index = static_cast<std::int32_t>(row);
    for (std::int64_t i = 0; i < count; ++i) {
      const bool better = beats<kMost>(next[i], best[i]);
      place[i] = better ? index : place[i];
      best[i] = better ? next[i] : best[i];
    }
  }
}

template <bool kMost, typename T>
constexpr ArgKernels<T> kArg = {place_in_row<kMost, T>, place_in_columns<kMost, T>};

}  // namespace

extern const ArgReduceKernels kArgReduce = {
    .max = kArg<true, float>,
    .min = kArg<false, float>,
    .max_int = kArg<true, std::int32_t>,
    .min_int = kArg<false, std::int32_t>,
    .max_bool = kArg<true, std::uint8_t>,
    .min_bool = kArg<false, std::uint8_t>,
};

}  // namespace dm::cpu::DM_ISA
