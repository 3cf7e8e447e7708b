// SPDX-License-Identifier: Apache-2.0
// The k largest elements of each row, of equal ones the first, for any k: the word of the k-th largest is found eight bits at a time by counting
// digits, all that are above it and the first of those equal to it are chosen, and the chosen are put in order. A row is one block's, or is cut
// into parts of a block each, and then every step is a launch.
//
// R rows, C width, P parts of a row.
#pragma once

#include "cuda/core/digits.cuh"
#include "cuda/core/divide.cuh"
#include "cuda/top-k.cuh"

namespace dm::cuda {

constexpr int kMostTopParts = kDigitThreads;
constexpr int kMostOrdered = 2048;  // of a row, in shared memory

/// What is known of the k-th largest word of a row.
struct TopThreshold {
  std::uint32_t word;  ///< its upper digits; 0 below
  std::int32_t left;   ///< how many words with these digits are chosen, one at least
};

template <class T>
struct SelectTop {
  const T* x;             ///< [R, C]
  T* values;              ///< [R, k]
  std::int32_t* indices;  ///< [R, k]
  int width;              ///< C
  int k;
  int ordered;               ///< the power of two from k up
  Divisor parts;             ///< P
  int part;                  ///< elements of a part
  TopThreshold* thresholds;  ///< [R]
  std::int32_t* counts;      ///< [R, P, digits]
  std::int32_t*
      chosen;  ///< [2, R P]: how many of a part are above the threshold, and how many are equal to it
  std::uint64_t* ranks;  ///< [R, k]: the chosen, in any order
  std::int64_t blocks;   ///< R P
};

/// What a block has in shared memory, from counts on; the ranks to put in order come before.
struct TopShared {
  std::uint64_t* ranks;  ///< [ordered]
  std::int32_t* counts;  ///< [warps, digits]
  std::int32_t* warps;   ///< [warps]
  std::int32_t* found;   ///< [2]
};
constexpr std::size_t kTopSelectShared = kDigitShared + 2 * sizeof(std::int32_t);
DM_DEVICE TopShared top_shared(int ordered) {
  auto* const ranks = reinterpret_cast<std::uint64_t*>(shared_memory());
  auto* const counts = reinterpret_cast<std::int32_t*>(ranks + ordered);
  std::int32_t* const warps = counts + kDigitWarps * kDigits;
  return {ranks, counts, warps, warps + kDigitWarps};
}

/// A block's part of a row.
struct TopPart {
  std::int64_t row;
  int part, begin, end;
};
template <class T>
DM_DEVICE TopPart top_part(const SelectTop<T>& p) {
  std::int64_t row = block_index();
  const int part = static_cast<int>(take_remainder(row, p.parts));
  const std::int64_t end = (part + std::int64_t{1}) * p.part;
  return {row, part, part * p.part, end < p.width ? static_cast<int>(end) : p.width};
}

/// The digit whose count a thread has: the largest digit is the first thread's.
DM_DEVICE int own_top_digit() { return kDigits - 1 - thread_index(); }

/// Of elements begin..end-1 with the threshold's digits above `shift`, how many have this thread's digit there.
template <class T>
DM_DEVICE std::int32_t count_top_digits(const T* x, int begin, int end, std::uint32_t above,
                                        int shift, std::int32_t* counts) {
  block_sync();
  clear_counts(counts);
  block_sync();
  std::int32_t* const own = counts + thread_index() / kWarp * kDigits;
  for (std::int64_t base = begin; base < end; base += kDigitThreads) {
    const std::int64_t i = base + thread_index();
    const std::uint32_t word = i < end ? ordered(x[i]) : 0;
    const bool inside = i < end && (std::uint64_t{word ^ above} >> (shift + kDigitBits)) == 0;
    count_digit(own, digit_of(word, shift), inside);
  }
  block_sync();
  std::int32_t count = 0;
  for (int w = 0; w < kDigitWarps; ++w) count += counts[w * kDigits + own_top_digit()];
  return count;
}

/// The threshold with one digit more; `count` is that of this thread's digit.
DM_DEVICE TopThreshold next_threshold(const TopThreshold& before, std::int32_t count, int shift,
                                      const TopShared& shared) {
  int all = 0;
  const int larger = block_before(count, shared.warps, all);
  if (larger < before.left && before.left <= larger + count) {
    shared.found[0] = own_top_digit();
    shared.found[1] = before.left - larger;
  }
  block_sync();
  return {before.word | static_cast<std::uint32_t>(shared.found[0]) << shift, shared.found[1]};
}

/// Writes the ranks of the chosen among elements begin..end-1, of which `above` and `equal` were before them in the row.
template <class T>
DM_DEVICE void collect_top(const SelectTop<T>& p, const T* x, int begin, int end,
                           const TopThreshold& threshold, int above, int equal, std::int32_t* warps,
                           std::uint64_t* ranks) {
  constexpr int kEqual = 1 << 16;  // two counts in a word: each below 2^16
  for (std::int64_t base = begin; base < end; base += kDigitThreads) {
    const std::int64_t i = base + thread_index();
    const std::uint32_t word = i < end ? ordered(x[i]) : 0;
    const bool is_above = i < end && word > threshold.word;
    const bool is_equal = i < end && word == threshold.word;
    int all = 0;
    const int before = block_before(is_above ? 1 : is_equal ? kEqual : 0, warps, all);
    const int place = static_cast<int>(i);
    if (is_above) ranks[above + before % kEqual] = rank_of(x[i], place);
    const int among = equal + before / kEqual;
    if (is_equal && among < threshold.left) {
      ranks[p.k - threshold.left + among] = rank_of(x[i], place);
    }
    above += all % kEqual;
    equal += all / kEqual;
  }
}

/// Puts the k ranks in shared memory in falling order, and writes the elements of a row by it. Bitonic: 0, which is no rank, fills up.
template <class T>
DM_DEVICE void order_top(const SelectTop<T>& p, std::int64_t row, std::uint64_t* ranks) {
  for (int i = p.k + thread_index(); i < p.ordered; i += kDigitThreads) ranks[i] = 0;
  block_sync();
  for (int run = 2; run <= p.ordered; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      for (int pair = thread_index(); pair < p.ordered / 2; pair += kDigitThreads) {
        const int first = 2 * pair - (pair & (step - 1));
        const std::uint64_t a = ranks[first];
        const std::uint64_t b = ranks[first + step];
        if (((first & run) == 0) == (a < b)) {
          ranks[first] = b;
          ranks[first + step] = a;
        }
      }
      block_sync();
    }
  }
  for (int i = thread_index(); i < p.k; i += kDigitThreads) {
    const auto place =
        static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(ranks[i]));
    p.values[row * p.k + i] = p.x[row * p.width + place];
    p.indices[row * p.k + i] = place;
  }
}

/// All of it. One block a row.
template <class T>
DM_KERNEL(kDigitThreads, 4)
select_top_rows(SelectTop<T> p) {
  const TopShared shared = top_shared(p.ordered);
  const std::int64_t row = block_index();
  const T* x = p.x + row * p.width;
  if (p.k < p.width) {
    TopThreshold threshold{0, p.k};
    for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
      const std::int32_t count =
          count_top_digits(x, 0, p.width, threshold.word, shift, shared.counts);
      threshold = next_threshold(threshold, count, shift, shared);
    }
    collect_top(p, x, 0, p.width, threshold, 0, 0, shared.warps, shared.ranks);
  } else {
    for (int i = thread_index(); i < p.k; i += kDigitThreads) shared.ranks[i] = rank_of(x[i], i);
  }
  order_top(p, row, shared.ranks);
}

/// counts. One block a part.
template <class T>
DM_KERNEL(kDigitThreads, 4)
count_top_parts(SelectTop<T> p, int shift) {
  const TopPart own = top_part(p);
  const std::uint32_t above = shift + kDigitBits == 32 ? 0 : p.thresholds[own.row].word;
  p.counts[std::int64_t{block_index()} * kDigits + own_top_digit()] = count_top_digits(
      p.x + own.row * p.width, own.begin, own.end, above, shift, top_shared(0).counts);
}

/// thresholds, one digit more. One block a row.
template <class T>
DM_KERNEL(kDigitThreads, 4)
pick_top_digits(SelectTop<T> p, int shift) {
  const std::int64_t row = block_index();
  const TopThreshold before = shift + kDigitBits == 32 ? TopThreshold{0, p.k} : p.thresholds[row];
  const std::int32_t* counts = p.counts + row * p.parts.value * kDigits + own_top_digit();
  std::int32_t count = 0;
  for (int part = 0; part < p.parts.value; ++part) count += counts[part * kDigits];
  const TopThreshold found = next_threshold(before, count, shift, top_shared(0));
  if (thread_index() == 0) p.thresholds[row] = found;
}

/// chosen. One block a part.
template <class T>
DM_KERNEL(kDigitThreads, 4)
count_top_chosen(SelectTop<T> p) {
  std::int32_t* const warps = top_shared(0).warps;
  const TopPart own = top_part(p);
  const T* x = p.x + own.row * p.width;
  const std::uint32_t threshold = p.thresholds[own.row].word;
  int above = 0;
  int equal = 0;
  for (std::int64_t i = own.begin + thread_index(); i < own.end; i += kDigitThreads) {
    const std::uint32_t word = ordered(x[i]);
    above += word > threshold ? 1 : 0;
    equal += word == threshold ? 1 : 0;
  }
  const int all_above = block_sum(above, warps);
  const int all_equal = block_sum(equal, warps);
  if (thread_index() == 0) {
    p.chosen[block_index()] = all_above;
    p.chosen[p.blocks + block_index()] = all_equal;
  }
}

/// ranks. One block a part.
template <class T>
DM_KERNEL(kDigitThreads, 4)
collect_top_parts(SelectTop<T> p) {
  std::int32_t* const warps = top_shared(0).warps;
  const TopPart own = top_part(p);
  const std::int32_t* chosen = p.chosen + own.row * p.parts.value;
  const bool earlier = thread_index() < own.part;
  const int above = block_sum(earlier ? chosen[thread_index()] : 0, warps);
  const int equal = block_sum(earlier ? chosen[p.blocks + thread_index()] : 0, warps);
  collect_top(p, p.x + own.row * p.width, own.begin, own.end, p.thresholds[own.row], above, equal,
              warps, p.ranks + own.row * p.k);
}

/// values and indices. One block a row.
template <class T>
DM_KERNEL(kDigitThreads, 4)
order_top_rows(SelectTop<T> p) {
  std::uint64_t* const ranks = top_shared(p.ordered).ranks;
  const std::int64_t row = block_index();
  for (int i = thread_index(); i < p.k; i += kDigitThreads) ranks[i] = p.ranks[row * p.k + i];
  order_top(p, row, ranks);
}

/// A key that rises as the rank of an element of a row falls. Not by fours.
template <class T>
struct TopKeys {
  const T* x;
  std::uint32_t* keys;

  DM_DEVICE void operator()(std::int64_t i) const { keys[i] = ~ordered(x[i]); }
  DM_DEVICE void four(std::int64_t) const {}
};

/// The first k of each row that was sorted. Not by fours.
template <class T>
struct TakeTop {
  const T* x;                  ///< [R, C]
  const std::int32_t* places;  ///< [R, C]
  T* values;                   ///< [R, k]
  std::int32_t* indices;       ///< [R, k]
  std::int64_t width;          ///< C
  Divisor k;

  DM_DEVICE void operator()(std::int64_t i) const {
    std::int64_t row = i;
    const std::int64_t at = take_remainder(row, k);
    const std::int32_t place = places[row * width + at];
    values[i] = x[row * width + place];
    indices[i] = place;
  }
  DM_DEVICE void four(std::int64_t) const {}
};

}  // namespace dm::cuda
