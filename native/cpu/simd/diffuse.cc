// SPDX-License-Identifier: Apache-2.0
// Normal draws, kLanes blocks at a time, and mixtures. Compiled without fusing products and sums (CMakeLists.txt).
#include "cpu/simd/diffuse.h"

#include "core/philox.h"

namespace dm::cpu::DM_ISA {
namespace {

constexpr std::int64_t kLanes = 16;

/// Four normals of each of kLanes blocks, word by word.
struct Group {
  float values[4][kLanes];
};

void draw(const std::uint32_t* key, std::uint64_t block, Group& group) {
  std::uint32_t c0[kLanes];
  std::uint32_t c1[kLanes];
  std::uint32_t c2[kLanes];
  std::uint32_t c3[kLanes];
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t index = block + static_cast<std::uint64_t>(lane);
    c0[lane] = static_cast<std::uint32_t>(index);
    c1[lane] = static_cast<std::uint32_t>(index >> 32);
    c2[lane] = key[2];
    c3[lane] = key[3];
  }
  std::uint32_t k0 = key[0];
  std::uint32_t k1 = key[1];
  for (int round = 0; round < 10; ++round) {
// Without being told, the compiler takes the lanes for a loop nest and multiplies one by one.
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      philox_round(c0[lane], c1[lane], c2[lane], c3[lane], k0, k1);
    }
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const NormalPair pair = normal_pair(c0[lane], c1[lane]);
    group.values[0][lane] = pair.first;
    group.values[1][lane] = pair.second;
  }
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const NormalPair pair = normal_pair(c2[lane], c3[lane]);
    group.values[2][lane] = pair.first;
    group.values[3][lane] = pair.second;
  }
}

void normals(const std::uint32_t* key, std::uint64_t block, std::int64_t blocks, float* out) {
  Group group;
  for (std::int64_t start = 0; start < blocks; start += kLanes) {
    draw(key, block + static_cast<std::uint64_t>(start), group);
    const std::int64_t left = blocks - start;
    const std::int64_t lanes = left < kLanes ? left : kLanes;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      for (int word = 0; word < 4; ++word) *out++ = group.values[word][lane];
    }
  }
}

void mix(float signal, const float* x, float scale, const float* noise, float* y,
         std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = signal * x[i] + scale * noise[i];
}

}  // namespace

extern const DiffuseKernels kDiffuse = {.normals = normals, .mix = mix};

}  // namespace dm::cpu::DM_ISA
