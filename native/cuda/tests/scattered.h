// SPDX-License-Identifier: Apache-2.0
// Slices that are added up by place: places to try, and the sums in float64 and in the order that docs/cuda.md promises.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace dm::test {

/// `count` places of `targets`, by a pattern.
inline std::vector<std::int32_t> places_of(const std::string& pattern, std::size_t count,
                                           std::size_t targets) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  std::vector<std::int32_t> places(count);
  std::int32_t run = 0;
  std::size_t left = 127;  // runs of 127, 128, 129 and so on
  for (std::size_t i = 0; i < count; ++i) {
    if (left == 0) left = 127 + static_cast<std::size_t>(++run);
    --left;
    const auto mixed = static_cast<std::int32_t>((i * 2654435761u >> 7) % targets);
    if (pattern == "distinct") {
      places[i] =
          static_cast<std::int32_t>((i * 7919 + 3) % targets);  // targets: no multiple of the prime
    } else if (pattern == "same") {
      places[i] = static_cast<std::int32_t>(targets - 1);
    } else if (pattern == "runs") {
      places[i] = run % static_cast<std::int32_t>(targets);
    } else if (pattern == "some outside") {
      const std::int32_t outside[] = {-1, static_cast<std::int32_t>(targets), kMost, -kMost - 1};
      places[i] = i % 3 == 0 ? outside[i / 3 % 4] : mixed;
    } else if (pattern == "all outside") {
      places[i] = -1 - static_cast<std::int32_t>(i);
    } else {
      places[i] = mixed;
    }
  }
  return places;
}

inline const std::vector<std::string>& place_patterns() {
  static const std::vector<std::string> all{"distinct",     "same",        "runs",
                                            "some outside", "all outside", "mixed"};
  return all;
}

/// The sum of what is put at one place: pieces of 128 one after another, each from `start` on; then the pieces after the first, each of eight
/// chains every eighth; then the chains.
template <class V>
V add_in_pieces(const std::vector<V>& values, V start) {
  constexpr std::size_t kPiece = 128;
  constexpr std::size_t kChains = 8;
  std::vector<V> pieces;
  for (std::size_t i = 0; i < values.size(); i += kPiece) {
    V piece = start;
    for (std::size_t j = i; j < std::min(values.size(), i + kPiece); ++j) {
      piece = static_cast<V>(piece + values[j]);
    }
    pieces.push_back(piece);
  }
  V total = pieces[0];
  if (pieces.size() == 1) return total;
  for (std::size_t chain = 0; chain < kChains; ++chain) {
    V sum{0};
    for (std::size_t i = 1 + chain; i < pieces.size(); i += kChains) {
      sum = static_cast<V>(sum + pieces[i]);
    }
    total = static_cast<V>(total + sum);
  }
  return total;
}

/// x [planes, count, width] added up at places [count] of planes with `targets` places.
template <class V>
struct Scattered {
  std::vector<V> in_order;  ///< [planes, targets, width]
  std::vector<double> exact;

  Scattered(const std::vector<V>& x, const std::vector<std::int32_t>& places, std::size_t planes,
            std::size_t targets, std::size_t width, V start = V{0})
      : in_order(planes * targets * width), exact(in_order.size()) {
    const std::size_t count = places.size();
    std::vector<std::vector<std::size_t>> at(targets);
    for (std::size_t i = 0; i < count; ++i) {
      const auto place = static_cast<std::size_t>(static_cast<std::uint32_t>(places[i]));
      if (place < targets) at[place].push_back(i);
    }
    std::vector<V> values;
    for (std::size_t i = 0; i < in_order.size(); ++i) {
      const std::vector<std::size_t>& slices = at[i / width % targets];
      if (slices.empty()) continue;
      values.clear();
      for (const std::size_t slice : slices) {
        values.push_back(x[(i / width / targets * count + slice) * width + i % width]);
        exact[i] += static_cast<double>(values.back());
      }
      in_order[i] = add_in_pieces(values, start);
    }
  }
};

}  // namespace dm::test
