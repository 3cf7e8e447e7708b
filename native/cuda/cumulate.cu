// SPDX-License-Identifier: Apache-2.0
// Cumprod and Cumsum on a device: buffers and numbers as in cpu/cumulate.cc.
#include "cuda/cumulate.cuh"

#include <type_traits>

#include "core/arguments.h"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

template <bool kProduct, class V>
Status cumulate(Device& device, Arguments& in) {
  const std::int64_t inner = in.count(3);
  const std::int64_t total = in.product(1, 3);
  Cumulate<V> p{.x = in.buffer<V>(0, total),
                .y = in.buffer<V>(1, total),
                .columns = in.elements({in.count(1), inner}),
                .length = in.count(2),
                .inner = {},
                .exclusive = in.flag(4),
                .reverse = in.flag(5)};
  if (!in.ok() || total == 0) return in.status();
  p.inner = Divisor(inner);
  // Not products of floats: a part that overflows would be NaN after a part that is 0.
  if (inner == 1 && !(kProduct && std::is_same_v<V, float>)) {
    const Grid grid{.blocks = blocks_for(p.columns, kCumulateWarps), .threads = kCumulateThreads};
    launch<cumulate_rows<kProduct, V>>(device, grid, p);
  } else {
    const Grid grid{.blocks = blocks_for(p.columns, kCumulateThreads), .threads = kCumulateThreads};
    launch<cumulate_columns<kProduct, V>>(device, grid, p);
  }
  return {};
}

// buffers: x, y (two blocks). numbers: [dtype (float32 or int32), outer, length, inner, exclusive, reverse], x being
// [outer, length, inner].
template <bool kProduct>
Status cumulative(Device& device, const OpArguments& arguments) {
  Arguments in(kProduct ? "Cumprod" : "Cumsum", arguments, 2, 6);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kBool) in.fail("float32 or int32", "bool");
  if (!in.ok()) return in.status();
  return dtype == DType::kFloat32 ? cumulate<kProduct, float>(device, in)
                                  : cumulate<kProduct, std::uint32_t>(device, in);
}

}  // namespace

void register_cumulate(DeviceOpTable& table) {
  table.add("Cumprod", cumulative<true>);
  table.add("Cumsum", cumulative<false>);
}

}  // namespace dm::cuda
