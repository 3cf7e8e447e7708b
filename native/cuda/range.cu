// SPDX-License-Identifier: Apache-2.0
// Range on a device: buffers and numbers as in cpu/range.cc.
#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"
#include "cuda/fill.cuh"

namespace dm::cuda {

namespace {

template <class T>
void launch_steps(Device& device, T* out, std::int64_t count, double start, double step) {
  launch_elementwise(device, FillSteps<T>{out, start, step}, count,
                     all_aligned({out}, 4 * sizeof(T)));
}

// buffers: out. numbers: [dtype, count, start, step]; float32 or int32. Element i is start + i * step; of int32, all must be in its range.
Status range(Device& device, const OpArguments& arguments) {
  Arguments in("Range", arguments, 1, 4);
  const DType dtype = in.dtype(0);
  const std::int64_t count = in.count(1);
  const double start = in.number(2);
  const double step = in.number(3);
  if (dtype == DType::kFloat32) {
    float* out = in.buffer<float>(0, count);
    if (in.ok()) launch_steps(device, out, count, start, step);
  } else if (dtype == DType::kInt32) {
    auto* out = in.buffer<std::int32_t>(0, count);
    const double last = start + static_cast<double>(count - 1) * step;
    const auto fits = [](double value) { return value > -2147483649.0 && value < 2147483648.0; };
    if (count > 0 && !(fits(start) && fits(last))) in.fail("values of int32", "larger ones");
    if (in.ok()) launch_steps(device, out, count, start, step);
  } else {
    in.fail("float32 or int32", "bool");
  }
  return in.status();
}

}  // namespace

void register_range(DeviceOpTable& table) { table.add("Range", range); }

}  // namespace dm::cuda
