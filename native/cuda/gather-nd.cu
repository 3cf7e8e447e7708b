// SPDX-License-Identifier: Apache-2.0
// GatherNd, ScatterNd and TensorScatterUpdate on a device: buffers and numbers as in cpu/gather-nd.cc. A slice whose place is outside is 0 when
// gathered and left out when scattered.
#include "cuda/gather-nd.cuh"

#include <string>

#include "core/arguments.h"
#include "cuda/core/launch-copy-rows.cuh"
#include "cuda/core/launch-slices.cuh"
#include "cuda/core/slices.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

/// N slices of C elements.
struct Plan {
  std::int64_t slices = 0, slice = 0;
  NdPlace place{};

  std::int64_t count() const { return place.places * slice; }
  SliceSizes sizes() const {
    return {.batch = 1, .planes = 1, .count = slices, .targets = place.places, .width = slice};
  }
  bool nothing() const { return slices == 0 || count() == 0; }
};

/// Reads `[N, R, C, P, steps… (R)]` from number `first` on and the indices from buffer `indices`; place = sum of index * step.
Plan read_plan(Arguments& in, std::size_t first, std::size_t indices) {
  Plan plan{.slices = in.count(first), .slice = in.count(first + 2)};
  const std::int64_t rank = in.count(first + 1);
  if (rank > kMostIndexAxes) in.fail("at most 8 indices of a slice", std::to_string(rank));
  plan.place.places = in.count(first + 3);
  plan.place.rank = in.ok() ? static_cast<int>(rank) : 0;
  plan.place.indices = in.buffer<std::int32_t>(indices, in.elements({plan.slices, rank}));
  for (int i = 0; i < plan.place.rank; ++i) {
    const std::int64_t step = in.count(first + 4 + static_cast<std::size_t>(i));
    if (step > INT32_MAX) in.fail("steps below 2^31", std::to_string(step));
    plan.place.steps[i] = step;
  }
  in.elements({plan.place.places, plan.slice});
  return plan;
}

// buffers: params [P, C], indices int32 [N, R], y [N, C]. numbers: [elementBytes, N, R, C, P, steps… (R)]; elementBytes 1 or 4.
Status gather_nd(Device& device, const OpArguments& arguments) {
  Arguments in("GatherNd", arguments, 3, 5);
  const std::int64_t size = in.count(0);
  if (size != 1 && size != 4) in.fail("elements of 1 or 4 bytes", std::to_string(size));
  const Plan plan = read_plan(in, 1, 1);
  const std::int64_t slice = in.elements({plan.slice, size});
  const void* x = in.bytes(0, in.elements({plan.place.places, slice}), 1);
  void* y = in.bytes(2, in.elements({plan.slices, slice}), 1);
  if (in.ok()) launch_copy_rows(device, x, y, plan.slices, slice, plan.place);
  return in.status();
}

/// Writes the places, then runs a kernel of core/slices.cuh.
template <auto kKernel, class V>
void launch_slices(Device& device, const Plan& plan, const V* updates, V* y) {
  auto* const places = static_cast<std::int64_t*>(
      device.scratch(static_cast<std::size_t>(plan.slices) * sizeof(std::int64_t)));
  launch_elementwise(device, WritePlaces{plan.place, places}, plan.slices, false);
  const Slices<V, std::int64_t> p{.x = updates,
                                  .places = places,
                                  .y = y,
                                  .count = Divisor(plan.slices),
                                  .groups = Divisor(1),
                                  .slices = plan.slices,
                                  .targets = plan.place.places,
                                  .width = plan.slice};
  const Grid grid{.blocks = blocks_for(plan.slices, kSliceWarps), .threads = kSliceWarps * kWarp};
  launch<kKernel>(device, grid, p);
}

template <class V>
Status scatter_sums(Device& device, Arguments& in, const Plan& plan) {
  const V* updates = in.buffer<V>(1, in.elements({plan.slices, plan.slice}));
  V* y = in.buffer<V>(2, plan.count());
  if (!in.ok()) return in.status();
  launch_elementwise(device, FillAll<V>{y, 0}, plan.count(), all_aligned({y}, 16));
  if (plan.nothing()) return {};
  if (sorts_places(plan.sizes(), plan.slices)) {
    add_by_sorting(device, updates, y, NdKey{plan.place}, plan.sizes(), V{0});
  } else {
    launch_slices<add_slices<V, std::int64_t>>(device, plan, updates, y);
  }
  return {};
}

// buffers: indices int32 [N, R], updates [N, C], y [P, C]. numbers: [dtype, N, R, C, P, steps… (R)]; float32 or int32. Sums of what is
// put at a place in rising order, 0 where nothing is.
Status scatter_nd(Device& device, const OpArguments& arguments) {
  Arguments in("ScatterNd", arguments, 3, 5);
  const DType dtype = in.dtype(0);
  const Plan plan = read_plan(in, 1, 0);
  if (dtype == DType::kFloat32) return scatter_sums<float>(device, in, plan);
  if (dtype == DType::kInt32) return scatter_sums<std::uint32_t>(device, in, plan);  // wraps around
  in.fail("float32 or int32", "bool");
  return in.status();
}

template <class V>
Status update(Device& device, Arguments& in, const Plan& plan) {
  const V* x = in.buffer<V>(0, plan.count());
  const V* updates = in.buffer<V>(2, in.elements({plan.slices, plan.slice}));
  V* y = in.buffer<V>(3, plan.count());
  if (!in.ok()) return in.status();
  const IdentityRow same;
  launch_copy_rows(device, x, y, 1, plan.count() * static_cast<std::int64_t>(sizeof(V)), same);
  if (plan.nothing()) return {};
  if (sorts_places(plan.sizes(), plan.slices)) {
    put_by_sorting(device, updates, y, NdKey{plan.place}, plan.sizes());
  } else {
    launch_slices<put_slices<V, std::int64_t>>(device, plan, updates, y);
  }
  return {};
}

// buffers: tensor [P, C], indices int32 [N, R], updates [N, C], y [P, C]. numbers: [elementBytes, N, R, C, P, steps… (R)]. The last update
// of a place holds.
Status tensor_scatter_update(Device& device, const OpArguments& arguments) {
  Arguments in("TensorScatterUpdate", arguments, 4, 5);
  const std::int64_t size = in.count(0);
  const Plan plan = read_plan(in, 1, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return update<std::uint32_t>(device, in, plan);
  if (size == 1) return update<std::uint8_t>(device, in, plan);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

}  // namespace

void register_gather_nd(DeviceOpTable& table) {
  table.add("GatherNd", gather_nd);
  table.add("ScatterNd", scatter_nd);
  table.add("TensorScatterUpdate", tensor_scatter_update);
}

}  // namespace dm::cuda
