// SPDX-License-Identifier: Apache-2.0
// Slices of a tensor by indices of several axes: GatherNd, ScatterNd, TensorScatterUpdate.
//
// N slices, R indices of each, C elements of a slice, P places of a slice in the tensor.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk
constexpr std::int64_t kColumns = 256;  // elements of a slice that one thread adds up

struct Plan {
  std::int64_t slices = 0, slice = 0, places = 0;
  std::vector<std::int64_t> at;  ///< the place of each slice
};

/// Reads `[N, R, C, P, steps… (R)]` from number `first` on and the indices from buffer `indices`; place = sum of index * step.
Plan read_plan(Arguments& in, std::size_t first, std::size_t indices) {
  Plan plan{in.count(first), in.count(first + 2), in.count(first + 3), {}};
  const std::int64_t rank = in.count(first + 1);
  const auto* values = in.buffer<std::int32_t>(indices, in.elements({plan.slices, rank}));
  std::vector<std::int64_t> steps;
  for (std::int64_t i = 0; i < rank && in.ok(); ++i) {
    steps.push_back(in.count(first + 4 + static_cast<std::size_t>(i)));
    if (steps.back() > INT32_MAX) in.fail("steps below 2^31", std::to_string(steps.back()));
  }
  for (std::int64_t i = 0; i < plan.slices && in.ok(); ++i) {
    std::int64_t place = 0;
    for (std::int64_t j = 0; j < rank; ++j) {
      place += values[i * rank + j] * steps[static_cast<std::size_t>(j)];
    }
    if (place < 0 || place >= plan.places) {
      in.fail("indices into the tensor",
              "place " + std::to_string(place) + " of " + std::to_string(plan.places));
    }
    plan.at.push_back(place);
  }
  return plan;
}

template <typename T>
Status gather_slices(Arguments& in, const Plan& plan) {
  const T* x = in.buffer<T>(0, in.elements({plan.places, plan.slice}));
  T* y = in.buffer<T>(2, in.elements({plan.slices, plan.slice}));
  if (!in.ok()) return in.status();
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, plan.slice));
  parallel_for(plan.slices, grain, [=, &plan](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* from = x + plan.at[static_cast<std::size_t>(i)] * plan.slice;
      std::copy_n(from, plan.slice, y + i * plan.slice);
    }
  });
  return {};
}

// buffers: params [P, C], indices int32 [N, R], y [N, C]. numbers: [elementBytes, N, R, C, P, steps… (R)].
Status gather_nd(const OpArguments& arguments) {
  Arguments in("GatherNd", arguments, 3, 5);
  const std::int64_t size = in.count(0);
  const Plan plan = read_plan(in, 1, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return gather_slices<std::uint32_t>(in, plan);
  if (size == 1) return gather_slices<std::uint8_t>(in, plan);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

/// Calls put(target, update) for every element of every slice, equal targets in the order of the slices. Threads share the columns.
template <typename T, typename Put>
void scatter(const Plan& plan, const T* updates, T* y, const Put& put) {
  parallel_for(plan.slice, kColumns, [&, updates, y](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < plan.slices; ++i) {
      const T* from = updates + i * plan.slice;
      T* to = y + plan.at[static_cast<std::size_t>(i)] * plan.slice;
      for (std::int64_t c = begin; c < end; ++c) put(to[c], from[c]);
    }
  });
}

template <typename T>
Status scatter_sums(Arguments& in, const Plan& plan) {
  const T* updates = in.buffer<T>(1, in.elements({plan.slices, plan.slice}));
  const std::int64_t count = in.elements({plan.places, plan.slice});
  T* y = in.buffer<T>(2, count);
  if (!in.ok()) return in.status();
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    std::fill(y + begin, y + end, T{0});
  });
  scatter(plan, updates, y, [](T& to, T from) { to = static_cast<T>(to + from); });
  return {};
}

// buffers: indices int32 [N, R], updates [N, C], y [P, C]. numbers: [dtype, N, R, C, P, steps… (R)]; float32 or int32. Sums of what is
// put at a place, 0 where nothing is.
Status scatter_nd(const OpArguments& arguments) {
  Arguments in("ScatterNd", arguments, 3, 5);
  const DType dtype = in.dtype(0);
  const Plan plan = read_plan(in, 1, 0);
  if (!in.ok()) return in.status();
  if (dtype == DType::kFloat32) return scatter_sums<float>(in, plan);
  if (dtype == DType::kInt32) return scatter_sums<std::uint32_t>(in, plan);  // wraps around
  in.fail("float32 or int32", "bool");
  return in.status();
}

template <typename T>
Status update(Arguments& in, const Plan& plan) {
  const std::int64_t count = in.elements({plan.places, plan.slice});
  const T* x = in.buffer<T>(0, count);
  const T* updates = in.buffer<T>(2, in.elements({plan.slices, plan.slice}));
  T* y = in.buffer<T>(3, count);
  if (!in.ok()) return in.status();
  parallel_for(count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    std::copy(x + begin, x + end, y + begin);
  });
  scatter(plan, updates, y, [](T& to, T from) { to = from; });
  return {};
}

// buffers: tensor [P, C], indices int32 [N, R], updates [N, C], y [P, C]. numbers: [elementBytes, N, R, C, P, steps… (R)]. The last update
// of a place holds.
Status tensor_scatter_update(const OpArguments& arguments) {
  Arguments in("TensorScatterUpdate", arguments, 4, 5);
  const std::int64_t size = in.count(0);
  const Plan plan = read_plan(in, 1, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return update<std::uint32_t>(in, plan);
  if (size == 1) return update<std::uint8_t>(in, plan);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_gather_nd(OpTable& table) {
  table.add("GatherNd", gather_nd);
  table.add("ScatterNd", scatter_nd);
  table.add("TensorScatterUpdate", tensor_scatter_update);
}

}  // namespace dm::cpu
