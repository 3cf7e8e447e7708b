// SPDX-License-Identifier: Apache-2.0
// ArgMax and ArgMin on a device: buffers and numbers as in cpu/arg-reduce.cc.
#include "cuda/arg-reduce.cuh"

#include <string>
#include <type_traits>

#include "cuda/core/dtype-value.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

template <bool kMost, class T>
void search(Device& device, const ArgReduce<T>& p) {
  using Wide = std::conditional_t<sizeof(T) == 1, std::int32_t, T>;
  if (p.inner.value == 1) {
    const Grid grid{.blocks = blocks_for(p.outputs, kArgWarps), .threads = kArgThreads};
    launch<arg_of_rows<kMost, T, Wide>>(device, grid, p);
  } else {
    const Grid grid{.blocks = blocks_for(p.outputs, kArgThreads), .threads = kArgThreads};
    launch<arg_of_columns<kMost, T>>(device, grid, p);
  }
}

// buffers: x, y (int32 [outer, inner]). numbers: [dtype of x, outer, length, inner], x being [outer, length, inner]. 0 where length is.
template <bool kMost>
Status arg(Device& device, const OpArguments& arguments) {
  Arguments in(kMost ? "ArgMax" : "ArgMin", arguments, 2, 4);
  const std::int64_t length = in.count(2);
  const std::int64_t inner = in.count(3);
  const std::int64_t outputs = in.elements({in.count(1), inner});
  if (length > INT32_MAX) in.fail("a length of int32", std::to_string(length));
  return with_dtype(in.dtype(0), [&](auto zero) -> Status {
    using T = decltype(zero);
    ArgReduce<T> p{.x = in.buffer<T>(0, in.product(1, 3)),
                   .place = in.buffer<std::int32_t>(1, outputs),
                   .outputs = outputs,
                   .length = length,
                   .inner = {}};
    if (!in.ok() || outputs == 0) return in.status();
    p.inner = Divisor(inner);
    if (length == 0) {
      launch_elementwise(device, FillAll<std::int32_t>{p.place, 0}, outputs, false);
    } else {
      search<kMost>(device, p);
    }
    return {};
  });
}

}  // namespace

void register_arg_reduce(DeviceOpTable& table) {
  table.add("ArgMax", arg<true>);
  table.add("ArgMin", arg<false>);
}

}  // namespace dm::cuda
