// SPDX-License-Identifier: Apache-2.0
// Keyed normal draws and their mixture with clean values; the same bits on every instruction set.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace dm::cpu {

struct DiffuseKernels {
  /// Elements 4 block .. 4 (block + blocks) - 1 of the normal draws of a key (seed low and high, stream low and high).
  void (*normals)(const std::uint32_t* key, std::uint64_t block, std::int64_t blocks, float* out);
  /// y = signal * x + scale * noise.
  void (*mix)(float signal, const float* x, float scale, const float* noise, float* y,
              std::int64_t count);
};

DM_PER_ISA(DiffuseKernels, kDiffuse)

}  // namespace dm::cpu
