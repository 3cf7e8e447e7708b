// SPDX-License-Identifier: Apache-2.0
// Keyed noise on the device against core/philox.h and against known answers, bit for bit.
#include "core/philox.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "device-run.h"
#include "keyed-noise.h"

using dm::test::buffer_of;
using dm::test::run_device_op;
using dm::test::unwritten;

namespace {

/// Normals of a key by core/philox.h.
std::vector<float> normals(const std::int32_t* words, std::size_t count) {
  std::uint32_t key[4];
  for (std::size_t i = 0; i < 4; ++i) key[i] = static_cast<std::uint32_t>(words[i]);
  std::vector<float> result;
  for (std::uint32_t block = 0; result.size() < count; ++block) {
    std::uint32_t c0 = block;
    std::uint32_t c1 = 0;
    std::uint32_t c2 = key[2];
    std::uint32_t c3 = key[3];
    for (std::uint32_t round = 0; round < 10; ++round) {
      dm::philox_round(c0, c1, c2, c3, key[0] + round * dm::kPhiloxWeyl0,
                       key[1] + round * dm::kPhiloxWeyl1);
    }
    const dm::NormalPair low = dm::normal_pair(c0, c1);
    const dm::NormalPair high = dm::normal_pair(c2, c3);
    result.insert(result.end(), {low.first, low.second, high.first, high.second});
  }
  result.resize(count);
  return result;
}

struct Case {
  std::size_t batch, tokens, masked, values;

  std::vector<double> numbers(bool keyed) const {
    return {static_cast<double>(batch), static_cast<double>(tokens), static_cast<double>(masked),
            static_cast<double>(values), keyed ? 1.0 : 0.0};
  }
};

struct Run {
  std::vector<float> y, expected;
};

/// The op and, from the same draws, signal x + scale noise; noise given or drawn.
Run run(const Case& c, bool keyed) {
  std::vector<float> clean = dm::test::noise(c.batch * c.tokens * c.values, 1);
  std::vector<std::int32_t> indices(c.batch * c.masked);
  std::vector<std::int32_t> keys(c.batch * 4);
  std::vector<float> noise;
  std::vector<float> signal = dm::test::noise(c.batch, 2);
  std::vector<float> scale = dm::test::noise(c.batch, 3);
  const std::size_t count = c.masked * c.values;
  Run r{unwritten(c.batch * count), std::vector<float>(c.batch * count)};
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::int32_t>(i * 2654435761u);
  for (std::size_t b = 0; b < c.batch; ++b) {
    const std::vector<float> drawn = normals(keys.data() + b * 4, count);
    noise.insert(noise.end(), drawn.begin(), drawn.end());
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t place = b * c.masked + i / c.values;
      const std::size_t token = (i / c.values * 3 + b) % c.tokens;
      indices[place] = static_cast<std::int32_t>(token);
      r.expected[b * count + i] =
          signal[b] * clean[(b * c.tokens + token) * c.values + i % c.values] + scale[b] * drawn[i];
    }
  }
  CHECK_EQUAL(run_device_op("DmDiffuse",
                            {buffer_of(clean), buffer_of(indices), buffer_of(signal),
                             buffer_of(scale), keyed ? buffer_of(keys) : buffer_of(noise),
                             buffer_of(r.y)},
                            c.numbers(keyed)),
              "");
  return r;
}

bool same_bits(const Run& r) {
  return std::memcmp(r.y.data(), r.expected.data(), r.y.size() * sizeof(float)) == 0;
}

}  // namespace

TEST("draws the normals whose hash packages/core/src/random.test.ts states") {
  dm::test::check_hash_of_normals(run_device_op);
}

TEST("has the bits of core/philox.h for patches by fours, not by fours, and one") {
  for (const Case& c : {Case{2, 5, 4, 12}, Case{3, 4, 3, 5}, Case{1, 1, 1, 1}, Case{2, 7, 5, 256},
                        Case{3, 2, 2, 3}}) {
    CHECK(same_bits(run(c, true)));
    CHECK(same_bits(run(c, false)));
  }
}

TEST("gives NaN for a patch outside, and no other") {
  std::vector<float> clean = dm::test::noise(2 * 4, 1);
  std::vector<std::int32_t> indices{1, 2};
  std::vector<float> one{1};
  std::vector<std::int32_t> key{1, 2, 3, 4};
  std::vector<float> y = unwritten(2 * 4);
  CHECK_EQUAL(run_device_op("DmDiffuse",
                            {buffer_of(clean), buffer_of(indices), buffer_of(one), buffer_of(one),
                             buffer_of(key), buffer_of(y)},
                            {1, 2, 2, 4, 1}),
              "");
  CHECK(!std::isnan(y[3]));
  CHECK(std::isnan(y[4]));
}

TEST("says which buffer is too short") {
  std::vector<float> x(4);
  CHECK_EQUAL(run_device_op("DmDiffuse",
                            {buffer_of(x), buffer_of(x), buffer_of(x), buffer_of(x), buffer_of(x),
                             buffer_of(x)},
                            {1, 1, 1, 8, 1}),
              "DmDiffuse: expected buffer 0 of at least 8 elements of 4 bytes, got 16 bytes");
}
