// SPDX-License-Identifier: Apache-2.0
// TopK on a device: buffers and numbers as in cpu/top-k.cc.
#include "cuda/top-k.cuh"

#include <string>

#include "core/arguments.h"
#include "cuda/core/launch.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

template <class T>
Status top_rows(Device& device, Arguments& in) {
  const std::int64_t rows = in.count(1);
  const std::int64_t width = in.count(2);
  const std::int64_t k = in.count(3);
  if (k > width || width > INT32_MAX) in.fail("k of at most the width", std::to_string(k));
  const TopK<T> p{.x = in.buffer<T>(0, in.elements({rows, width})),
                  .values = in.buffer<T>(1, in.elements({rows, k})),
                  .indices = in.buffer<std::int32_t>(2, in.elements({rows, k})),
                  .width = static_cast<int>(width),
                  .k = static_cast<int>(k)};
  if (!in.ok()) return in.status();
  launch<top_k<T>>(device,
                   {.blocks = rows, .threads = kTopThreads, .shared_bytes = kTopShared}, p);
  return {};
}

// buffers: x [R, C], values [R, k], indices int32 [R, k]. numbers: [dtype, R, C, k]; float32 or int32. Sorted, and of equal elements the one
// of lower index first; NaN after all numbers.
Status top(Device& device, const OpArguments& arguments) {
  Arguments in("TopK", arguments, 3, 4);
  const DType dtype = in.dtype(0);
  if (dtype == DType::kFloat32) return top_rows<float>(device, in);
  if (dtype == DType::kInt32) return top_rows<std::int32_t>(device, in);
  in.fail("float32 or int32", "bool");
  return in.status();
}

}  // namespace

void register_top_k(DeviceOpTable& table) { table.add("TopK", top); }

}  // namespace dm::cuda
