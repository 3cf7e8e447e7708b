// SPDX-License-Identifier: Apache-2.0
// Four neighbours at once, as float32: 16 bytes of float32 or 8 bytes of bfloat16 in one access where they are all there and aligned, one
// by one where not.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/core/simt.cuh"

namespace dm::cuda {

using Quad = FourOf<float>;

/// Whether quads from `data` on, with `step` elements from row to row, may be accessed as a whole.
inline bool quads_aligned(const void* data, std::int64_t step, bool bfloat16) {
  return step % 4 == 0 && reinterpret_cast<std::uintptr_t>(data) % (bfloat16 ? 8 : 16) == 0;
}

DM_DEVICE Quad four_at(const float* from) { return read_four(from); }
DM_DEVICE Quad four_at(const bf16* from) {
  std::uint32_t words[2];
#ifdef __CUDACC__
  const uint2 all = *reinterpret_cast<const uint2*>(from);
  words[0] = all.x;
  words[1] = all.y;
#else
  std::memcpy(words, from, sizeof words);
#endif
  return {{low_bf16(words[0]), high_bf16(words[0]), low_bf16(words[1]), high_bf16(words[1])}};
}

DM_DEVICE void put_four(float* to, const Quad& quad) { write_four(to, quad); }
DM_DEVICE void put_four(bf16* to, const Quad& quad) {
  const std::uint32_t words[2] = {pack_bf16(quad.at[0], quad.at[1]),
                                  pack_bf16(quad.at[2], quad.at[3])};
#ifdef __CUDACC__
  *reinterpret_cast<uint2*>(to) = make_uint2(words[0], words[1]);
#else
  std::memcpy(to, words, sizeof words);
#endif
}

DM_DEVICE float load_one(const void* data, bool bfloat16, std::int64_t at) {
  return bfloat16 ? to_float(static_cast<const bf16*>(data)[at])
                  : static_cast<const float*>(data)[at];
}

DM_DEVICE void store_one(void* data, bool bfloat16, std::int64_t at, float value) {
  if (bfloat16) {
    static_cast<bf16*>(data)[at] = to_bf16(value);
  } else {
    static_cast<float*>(data)[at] = value;
  }
}

/// Elements at .. at + 3; those from `count` on are 0 and not read. `whole`: the quad is aligned.
DM_DEVICE Quad load_quad(const void* data, bool bfloat16, std::int64_t at, std::int64_t count,
                         bool whole) {
  if (whole && count >= 4) {
    return bfloat16 ? four_at(static_cast<const bf16*>(data) + at)
                    : four_at(static_cast<const float*>(data) + at);
  }
  Quad quad = {};
  DM_UNROLL
  for (int i = 0; i < 4; ++i) {
    if (i < count) quad.at[i] = load_one(data, bfloat16, at + i);
  }
  return quad;
}

/// The same for a store.
DM_DEVICE void store_quad(void* data, bool bfloat16, std::int64_t at, std::int64_t count,
                          bool whole, const Quad& quad) {
  if (whole && count >= 4) {
    if (bfloat16) {
      put_four(static_cast<bf16*>(data) + at, quad);
    } else {
      put_four(static_cast<float*>(data) + at, quad);
    }
    return;
  }
  DM_UNROLL
  for (int i = 0; i < 4; ++i) {
    if (i < count) store_one(data, bfloat16, at + i, quad.at[i]);
  }
}

}  // namespace dm::cuda
