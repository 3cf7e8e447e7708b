// SPDX-License-Identifier: Apache-2.0
// Masked patches with noise: packages/core/src/ops/diffuse.ts. The same bits as there, since nothing is summed or fused.
#include <algorithm>
#include <array>
#include <cstdint>

#include "core/diffuse-arguments.h"
#include "core/indices.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/diffuse.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;  // elements a chunk, whole blocks of 4

/// Elements begin..end-1 of y of a sample.
void diffuse_chunk(const DiffuseArguments& p, const DiffuseKernels& kernels, std::int64_t sample,
                   std::int64_t begin, std::int64_t end) {
  const std::int64_t count = p.masked * p.values;
  alignas(64) std::array<float, kGrain> drawn;
  const float* noise = p.noise + sample * count + begin;
  if (p.keys != nullptr) {
    std::array<std::uint32_t, 4> key;
    for (std::size_t i = 0; i < 4; ++i) {
      key[i] = static_cast<std::uint32_t>(p.keys[sample * 4 + static_cast<std::int64_t>(i)]);
    }
    kernels.normals(key.data(), static_cast<std::uint64_t>(begin / 4), (end - begin + 3) / 4,
                    drawn.data());
    noise = drawn.data();
  }
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t place = at / p.values;
    const std::int64_t value = at % p.values;
    const std::int64_t length = std::min(p.values - value, end - at);
    const std::int64_t row = sample * p.tokens + p.indices[sample * p.masked + place];
    kernels.mix(p.signal[sample], p.clean + row * p.values + value, p.scale[sample],
                noise + (at - begin), p.y + sample * count + at, length);
    at += length;
  }
}

Status diffuse(const OpArguments& arguments) {
  DiffuseArguments p(arguments);
  check_indices(p.in, p.indices, p.batch * p.masked, p.tokens);
  if (!p.in.ok()) return p.in.status();
  if (p.all == 0) return {};
  const std::int64_t count = p.masked * p.values;
  const std::int64_t chunks = chunk_count(count, kGrain);
  const DiffuseKernels& kernels = DM_PICK(kDiffuse);
  parallel_for(p.batch * chunks, 1, [&](std::int64_t chunk, std::int64_t) {
    const std::int64_t begin = chunk % chunks * kGrain;
    diffuse_chunk(p, kernels, chunk / chunks, begin, std::min(count, begin + kGrain));
  });
  return {};
}

}  // namespace

void register_diffuse(OpTable& table) { table.add("DmDiffuse", diffuse); }

}  // namespace dm::cpu
