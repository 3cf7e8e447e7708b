// SPDX-License-Identifier: Apache-2.0
// Concat and SplitV on a device: buffers and numbers as in cpu/concat.cc. One launch a part.
#include "cuda/concat.cuh"

#include <cstddef>
#include <vector>

#include "core/arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// In bytes.
struct Part {
  std::byte* data;
  std::int64_t inner, offset;
};

struct Plan {
  std::vector<Part> parts;
  std::byte* whole = nullptr;
  std::int64_t row = 0;  ///< bytes of all parts for one step of outer
  std::int64_t outer = 0;
};

/// numbers: [elementBytes, outer, inner of each part]; buffers: the parts from `first` on, the whole at `whole`.
Plan read_plan(Arguments& in, std::size_t first, std::size_t whole) {
  Plan plan;
  const std::int64_t size = in.count(0);
  plan.outer = in.count(1);
  const std::size_t parts = in.number_count() - 2;
  for (std::size_t i = 0; i < parts && in.ok(); ++i) {
    const std::int64_t inner = in.elements({in.count(2 + i), size});
    const std::int64_t count = in.elements({plan.outer, inner});
    plan.parts.push_back({in.buffer<std::byte>(first + i, count), inner, plan.row});
    plan.row += inner;
    if (plan.row > kMaxCount) in.fail("at most 2^53 - 1 bytes", "more");
  }
  plan.whole = in.buffer<std::byte>(whole, in.elements({plan.outer, plan.row}));
  return plan;
}

template <class Unit>
void copy_part(Device& device, const Plan& plan, const Part& part, bool into_whole) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(Unit));
  auto* const own = reinterpret_cast<Unit*>(part.data);
  auto* const place = reinterpret_cast<Unit*>(plan.whole + part.offset);
  const std::int64_t columns = part.inner / kBytes;
  const CopyBlock<Unit> body{.from = into_whole ? own : place,
                             .to = into_whole ? place : own,
                             .columns = Divisor(columns),
                             .from_pitch = into_whole ? columns : plan.row / kBytes,
                             .to_pitch = into_whole ? plan.row / kBytes : columns};
  launch_elementwise(device, body, plan.outer * columns, false);
}

void copy_parts(Device& device, const Plan& plan, bool into_whole) {
  for (const Part& part : plan.parts) {
    if (plan.outer * part.inner == 0) continue;
    const auto divides = [&](std::int64_t bytes) {
      return part.inner % bytes == 0 && part.offset % bytes == 0 && plan.row % bytes == 0 &&
             all_aligned({part.data, plan.whole}, static_cast<std::size_t>(bytes));
    };
    if (divides(16)) {
      copy_part<Bytes16>(device, plan, part, into_whole);
    } else if (divides(4)) {
      copy_part<std::uint32_t>(device, plan, part, into_whole);
    } else {
      copy_part<std::uint8_t>(device, plan, part, into_whole);
    }
  }
}

// buffers: parts, y. numbers: [elementBytes, outer, inner of each part].
Status concat(Device& device, const OpArguments& arguments) {
  Arguments in("Concat", arguments, arguments.number_count - 1, 2);
  if (!in.ok()) return in.status();
  const Plan plan = read_plan(in, 0, in.number_count() - 2);
  if (in.ok()) copy_parts(device, plan, true);
  return in.status();
}

// buffers: x, parts. numbers: [elementBytes, outer, inner of each part].
Status split(Device& device, const OpArguments& arguments) {
  Arguments in("SplitV", arguments, arguments.number_count - 1, 2);
  if (!in.ok()) return in.status();
  const Plan plan = read_plan(in, 1, 0);
  if (in.ok()) copy_parts(device, plan, false);
  return in.status();
}

}  // namespace

void register_concat(DeviceOpTable& table) {
  table.add("Concat", concat);
  table.add("SplitV", split);
}

}  // namespace dm::cuda
