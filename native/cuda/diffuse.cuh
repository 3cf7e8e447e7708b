// SPDX-License-Identifier: Apache-2.0
// Masked patches with noise, x_t = signal x_0 + scale noise (packages/core/src/ops/diffuse.ts; [DDPM eq. 4]): the bits of the CPU op, since
// nothing is summed or fused. A thread draws one block of four normals, elements 4 q .. 4 q + 3 of a sample, and mixes them in registers, so
// noise is never in memory.
//
// B batch, T tokens, M masked patches, P values of a patch, Q blocks of four of a sample: (M P + 3) / 4.
#pragma once

#include "cuda/core/divide.cuh"
#include "cuda/core/random.cuh"

namespace dm::cuda {

constexpr int kDiffuseThreads = 256;

struct Diffuse {
  const float* clean;           ///< [B, T, P]
  const std::int32_t* indices;  ///< [B, M]
  const float* signal;          ///< [B]
  const float* scale;           ///< [B]
  const std::int32_t* keys;     ///< [B, 4], or null
  const float* noise;           ///< [B, M, P], or null
  float* y;                     ///< [B, M, P]
  std::int64_t blocks;          ///< B Q
  std::int64_t tokens;          ///< T
  std::int64_t masked;          ///< M
  Divisor sample_blocks;        ///< Q
  Divisor values;               ///< P
};

/// The clean row of a masked patch; null where its index is outside 0..T-1.
DM_DEVICE const float* clean_row(const Diffuse& p, std::int64_t sample, std::int64_t place) {
  const std::int64_t token = p.indices[sample * p.masked + place];
  if (token < 0 || token >= p.tokens) return nullptr;
  return p.clean + (sample * p.tokens + token) * p.values.value;
}

DM_DEVICE float mix_noise(float signal, float x, float scale, float noise) {
  return add_rounded(multiply_rounded(signal, x), multiply_rounded(scale, noise));
}

/// With kFours P is a multiple of four and all is aligned: the four elements are of one patch.
template <bool kFours>
DM_KERNEL(kDiffuseThreads, 4)
diffuse(Diffuse p) {
  const std::int64_t at =
      static_cast<std::int64_t>(block_index()) * kDiffuseThreads + thread_index();
  if (at >= p.blocks) return;
  const std::int64_t sample = p.sample_blocks.quotient(at);
  const std::int64_t block = at - sample * p.sample_blocks.value;
  const std::int64_t count = p.masked * p.values.value;
  const std::int64_t first = 4 * block;
  const int valid = first + 4 <= count ? 4 : static_cast<int>(count - first);
  FourOf<float> noise{};
  if (p.keys != nullptr) {
    std::uint32_t key[4];
    DM_UNROLL
    for (int k = 0; k < 4; ++k) key[k] = static_cast<std::uint32_t>(p.keys[sample * 4 + k]);
    noise = normals_of(key, static_cast<std::uint64_t>(block));
  } else if (kFours) {
    noise = read_four(p.noise + sample * count + first);
  } else {
    DM_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (k < valid) noise.at[k] = p.noise[sample * count + first + k];
    }
  }
  const float signal = p.signal[sample];
  const float scale = p.scale[sample];
  float* y = p.y + sample * count + first;
  if constexpr (kFours) {
    const std::int64_t place = p.values.quotient(first);
    const float* clean = clean_row(p, sample, place);
    FourOf<float> x{{NAN, NAN, NAN, NAN}};
    if (clean != nullptr) x = read_four(clean + (first - place * p.values.value));
    DM_UNROLL
    for (int k = 0; k < 4; ++k) x.at[k] = mix_noise(signal, x.at[k], scale, noise.at[k]);
    write_four(y, x);
  } else {
    // Unrolled: what is in registers has no index at run time.
    DM_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (k >= valid) continue;
      const std::int64_t place = p.values.quotient(first + k);
      const float* clean = clean_row(p, sample, place);
      const float x = clean == nullptr ? NAN : clean[first + k - place * p.values.value];
      y[k] = mix_noise(signal, x, scale, noise.at[k]);
    }
  }
}

}  // namespace dm::cuda
