// SPDX-License-Identifier: Apache-2.0
// Concat and SplitV on a device. One launch a part.
#include "cuda/concat.cuh"

#include <cstddef>

#include "core/concat-arguments.h"
#include "cuda/core/launch-elementwise.cuh"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

template <class Unit>
void copy_part(Device& device, const ConcatArguments& given, const ConcatArguments::Part& part, bool into_whole) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(Unit));
  auto* const own = reinterpret_cast<Unit*>(part.data);
  auto* const place = reinterpret_cast<Unit*>(given.whole + part.offset);
  const std::int64_t columns = part.inner / kBytes;
  const CopyBlock<Unit> body{.from = into_whole ? own : place,
                             .to = into_whole ? place : own,
                             .columns = Divisor(columns),
                             .from_pitch = into_whole ? columns : given.row / kBytes,
                             .to_pitch = into_whole ? given.row / kBytes : columns};
  launch_elementwise(device, body, given.outer * columns, false);
}

void copy_parts(Device& device, const ConcatArguments& given, bool into_whole) {
  for (const ConcatArguments::Part& part : given.parts) {
    if (given.outer * part.inner == 0) continue;
    const auto divides = [&](std::int64_t bytes) {
      return part.inner % bytes == 0 && part.offset % bytes == 0 && given.row % bytes == 0 &&
             all_aligned({part.data, given.whole}, static_cast<std::size_t>(bytes));
    };
    if (divides(16)) {
      copy_part<Bytes16>(device, given, part, into_whole);
    } else if (divides(4)) {
      copy_part<std::uint32_t>(device, given, part, into_whole);
    } else {
      copy_part<std::uint8_t>(device, given, part, into_whole);
    }
  }
}

Status concat(Device& device, const OpArguments& arguments) {
  const ConcatArguments given("Concat", arguments, false);
  if (given.in.ok()) copy_parts(device, given, true);
  return given.in.status();
}

Status split(Device& device, const OpArguments& arguments) {
  const ConcatArguments given("SplitV", arguments, true);
  if (given.in.ok()) copy_parts(device, given, false);
  return given.in.status();
}

}  // namespace

void register_concat(DeviceOpTable& table) {
  table.add("Concat", concat);
  table.add("SplitV", split);
}

}  // namespace dm::cuda
