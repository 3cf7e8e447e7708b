// SPDX-License-Identifier: Apache-2.0
// Masked patches with noise: packages/core/src/ops/diffuse.ts. The same bits as there, since nothing is summed or fused.
//
// B batch, T tokens, M masked patches, P values of a patch.
#include <algorithm>
#include <array>
#include <cstdint>

#include "core/arguments.h"
#include "core/indices.h"
#include "core/thread-pool.h"
#include "cpu/families.h"
#include "cpu/simd/diffuse.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 4096;  // elements a chunk, whole blocks of 4

struct Patches {
  const float* clean;
  const std::int32_t* indices;
  const float* signal;
  const float* scale;
  const std::int32_t* keys;  ///< or null
  const float* noise;        ///< or null
  float* y;
  std::int64_t tokens, masked, values;
};

/// Elements begin..end-1 of y of a sample.
void diffuse_chunk(const Patches& p, const DiffuseKernels& kernels, std::int64_t sample,
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

// buffers: patches [B, T, P], indices int32 [B, M], signal [B], noiseScale [B], keys int32 [B, 4] or noise [B, M, P], y [B, M, P].
// numbers: [B, T, M, P, keyed].
Status diffuse(const OpArguments& arguments) {
  Arguments in("DmDiffuse", arguments, 6, 5);
  const std::int64_t batch = in.count(0);
  const std::int64_t tokens = in.count(1);
  const std::int64_t masked = in.count(2);
  const std::int64_t values = in.count(3);
  const bool keyed = in.flag(4);
  const std::int64_t all = in.elements({batch, masked, values});
  const Patches patches{
      .clean = in.buffer<float>(0, in.elements({batch, tokens, values})),
      .indices = in.buffer<std::int32_t>(1, in.elements({batch, masked})),
      .signal = in.buffer<float>(2, batch),
      .scale = in.buffer<float>(3, batch),
      .keys = keyed ? in.buffer<std::int32_t>(4, in.elements({batch, 4})) : nullptr,
      .noise = keyed ? nullptr : in.buffer<float>(4, all),
      .y = in.buffer<float>(5, all),
      .tokens = tokens,
      .masked = masked,
      .values = values};
  check_indices(in, patches.indices, in.elements({batch, masked}), tokens);
  if (!in.ok()) return in.status();
  if (all == 0) return {};
  const std::int64_t count = masked * values;
  const std::int64_t chunks = chunk_count(count, kGrain);
  const DiffuseKernels& kernels = DM_PICK(kDiffuse);
  parallel_for(batch * chunks, 1, [&](std::int64_t chunk, std::int64_t) {
    const std::int64_t begin = chunk % chunks * kGrain;
    diffuse_chunk(patches, kernels, chunk / chunks, begin, std::min(count, begin + kGrain));
  });
  return {};
}

}  // namespace

void register_diffuse(OpTable& table) { table.add("DmDiffuse", diffuse); }

}  // namespace dm::cpu
