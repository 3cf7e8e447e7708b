// SPDX-License-Identifier: Apache-2.0
// Each sample times its factor: packages/core/src/ops/drop-path.ts.
#include <algorithm>
#include <cstdint>

#include "core/arguments.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/binary.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

// buffers: x [batch, count], factor [batch], y [batch, count]. numbers: [batch, count].
Status drop_path(const OpArguments& arguments) {
  Arguments in("DmDropPath", arguments, 3, 2);
  const std::int64_t batch = in.count(0);
  const std::int64_t count = in.count(1);
  const float* x = in.buffer<float>(0, in.product(0, 2));
  const float* factor = in.buffer<float>(1, batch);
  float* y = in.buffer<float>(2, in.product(0, 2));
  if (!in.ok()) return in.status();
  const auto multiply = DM_PICK(kBinary).floats.multiply;
  const std::int64_t chunks = chunk_count(count, kGrain);
  parallel_for(batch * chunks, 1, [=](std::int64_t chunk, std::int64_t) {
    const std::int64_t sample = chunk / chunks;
    const std::int64_t begin = chunk % chunks * kGrain;
    const std::int64_t at = sample * count + begin;
    multiply(x + at, 1, factor + sample, 0, y + at, std::min(kGrain, count - begin));
  });
  return {};
}

}  // namespace

void register_drop_path(OpTable& table) { table.add("DmDropPath", drop_path); }

}  // namespace dm::cpu
