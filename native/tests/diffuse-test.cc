// SPDX-License-Identifier: Apache-2.0
// Keyed noise against known answers: the same bits on every instruction set.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/philox.h"
#include "keyed-noise.h"
#include "run-op.h"

using dm::test::complaint;
using dm::test::keyed_noise;

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
  dm::test::check_hash_of_normals(complaint);
}

TEST("draws the same normals whatever their number") {
  const std::vector<float> many = keyed_noise(complaint, {1, 2, 3, 4}, 10'000);
  for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{64}, std::size_t{4097}}) {
    const std::vector<float> few = keyed_noise(complaint, {1, 2, 3, 4}, count);
    CHECK(std::memcmp(few.data(), many.data(), count * sizeof(float)) == 0);
  }
}
