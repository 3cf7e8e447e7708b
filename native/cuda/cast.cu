// SPDX-License-Identifier: Apache-2.0
// Cast on a device: buffers and numbers as in cpu/cast.cc.
#include "cuda/cast.cuh"

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

using Bool = std::uint8_t;
using Int = std::int32_t;

template <class T, class R>
Status convert(Device& device, Arguments& in) {
  const std::int64_t count = in.count(2);
  const T* x = in.buffer<T>(0, count);
  R* y = in.buffer<R>(1, count);
  if (!in.ok()) return in.status();
  launch_map(device, x, y, count, CastTo<R>());
  return {};
}

// buffers: x, y (two blocks). numbers: [dtype of x, dtype of y, count]; two different dtypes.
Status cast(Device& device, const OpArguments& arguments) {
  Arguments in("Cast", arguments, 2, 3);
  const DType from = in.dtype(0);
  const DType to = in.dtype(1);
  if (from == to) in.fail("two different dtypes", "the same");
  if (!in.ok()) return in.status();
  switch (from) {
    case DType::kFloat32:
      return to == DType::kInt32 ? convert<float, Int>(device, in)
                                 : convert<float, Bool>(device, in);
    case DType::kInt32:
      return to == DType::kFloat32 ? convert<Int, float>(device, in)
                                   : convert<Int, Bool>(device, in);
    case DType::kBool:
      break;
  }
  return to == DType::kFloat32 ? convert<Bool, float>(device, in)
                               : convert<Bool, Int>(device, in);
}

}  // namespace

void register_cast(DeviceOpTable& table) { table.add("Cast", cast); }

}  // namespace dm::cuda
