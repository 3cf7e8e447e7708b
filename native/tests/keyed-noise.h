// SPDX-License-Identifier: Apache-2.0
// Normals of one key as DmDiffuse draws them, for every device, and what packages/core/src/random.test.ts says of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "buffers.h"
#include "check.h"

namespace dm::test {

/// Noise alone: patches of zeros. `execute(name, buffers, numbers)` runs an op on a device and returns its complaint.
template <class Execute>
std::vector<float> keyed_noise(const Execute& execute, std::vector<std::int32_t> key,
                               std::size_t count) {
  std::vector<float> patches(count);
  std::vector<std::int32_t> indices{0};
  std::vector<float> signal{0};
  std::vector<float> scale{1};
  std::vector<float> y(count);
  CHECK_EQUAL(execute("DmDiffuse",
                      {buffer_of(patches), buffer_of(indices), buffer_of(signal), buffer_of(scale),
                       buffer_of(key), buffer_of(y)},
                      {1, 1, 1, static_cast<double>(count), 1}),
              "");
  return y;
}

/// 4e6 normals of key (0x0123456789abcdef, stream 7), by FNV-1a of their words.
template <class Execute>
void check_hash_of_normals(const Execute& execute) {
  std::uint32_t hash = 2166136261u;
  const std::int32_t low = static_cast<std::int32_t>(0x89abcdefu);
  for (const float value : keyed_noise(execute, {low, 0x01234567, 7, 0}, 4'000'000)) {
    std::uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    hash = (hash ^ word) * 16777619u;
  }
  CHECK_EQUAL(hash, 0x5bc4ebd0u);
}

}  // namespace dm::test
