// SPDX-License-Identifier: Apache-2.0
// Keyed noise against known answers: the same bits on every instruction set.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/philox.h"
#include "run-op.h"

using dm::test::buffer_of;

namespace {

/// Noise alone, of one key: patches of zeros.
std::vector<float> noise(std::vector<std::int32_t> key, std::size_t count) {
  std::vector<float> patches(count);
  std::vector<std::int32_t> indices{0};
  std::vector<float> signal{0};
  std::vector<float> scale{1};
  std::vector<float> y(count);
  const dm::Status status =
      dm::test::run_op("DmDiffuse",
                       {buffer_of(patches), buffer_of(indices), buffer_of(signal),
                        buffer_of(scale), buffer_of(key), buffer_of(y)},
                       {1, 1, 1, static_cast<double>(count), 1});
  CHECK_EQUAL(status.message(), "");
  return y;
}

std::uint32_t hash(const std::vector<float>& values) {
  std::uint32_t result = 2166136261u;
  for (const float value : values) {
    std::uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    result = (result ^ word) * 16777619u;
  }
  return result;
}

}  // namespace

TEST("maps counters to the known answers of Random123") {
  std::uint32_t c[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
  std::uint32_t k0 = 0xa4093822;
  std::uint32_t k1 = 0x299f31d0;
  for (int round = 0; round < 10; ++round) {
    dm::philox_round(c[0], c[1], c[2], c[3], k0, k1);
    k0 += dm::kPhiloxWeyl0;
    k1 += dm::kPhiloxWeyl1;
  }
  CHECK_EQUAL(c[0], 0xd16cfe09u);
  CHECK_EQUAL(c[1], 0x94fdccebu);
  CHECK_EQUAL(c[2], 0x5001e420u);
  CHECK_EQUAL(c[3], 0x24126ea1u);
}

TEST("draws the normals whose hash packages/core/src/random.test.ts states") {
  // 4e6 normals of key (0x0123456789abcdef, stream 7).
  CHECK_EQUAL(hash(noise({static_cast<std::int32_t>(0x89abcdefu), 0x01234567, 7, 0}, 4'000'000)),
              0x5bc4ebd0u);
}

TEST("draws the same normals whatever their number") {
  const std::vector<float> many = noise({1, 2, 3, 4}, 10'000);
  for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{4097}}) {
    const std::vector<float> few = noise({1, 2, 3, 4}, count);
    CHECK(std::memcmp(few.data(), many.data(), count * sizeof(float)) == 0);
  }
}
