// SPDX-License-Identifier: Apache-2.0
// Copy on a device: buffers and numbers as in cpu/copy.cc.
#include "core/arguments.h"
#include "cuda/core/launch-copy-rows.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

// buffers: x, y. numbers: [bytes].
Status copy(Device& device, const OpArguments& arguments) {
  Arguments in("Copy", arguments, 2, 1);
  const std::int64_t count = in.count(0);
  const void* x = in.bytes(0, count, 1);
  void* y = in.bytes(1, count, 1);
  if (in.ok() && x != y) launch_copy_rows(device, x, y, 1, count, IdentityRow());
  return in.status();
}

}  // namespace

void register_copy(DeviceOpTable& table) { table.add("Copy", copy); }

}  // namespace dm::cuda
