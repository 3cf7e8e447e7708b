// SPDX-License-Identifier: Apache-2.0
// Slices of a tensor by their indices along an axis, and sums of slices by index: GatherV2, its gradient, UnsortedSegmentSum.
//
// B batch (the axes that x and the indices share), O axes between these and the gathered one, D its length, N indices of a batch, C
// elements of a slice.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/arguments.h"
#include "core/indices.h"
#include "core/thread-pool.h"
#include "cpu/families.h"

namespace dm::cpu {

namespace {

constexpr std::int64_t kGrain = 16384;  // elements a chunk

std::int64_t slices_per_chunk(std::int64_t slice) {
  return std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, slice));
}

struct Sizes {
  std::int64_t batch, outer, axis, indices, slice;
};

/// Reads `[B, O, D, N, C]` from number `first` on.
Sizes read_sizes(Arguments& in, std::size_t first) {
  return {in.count(first), in.count(first + 1), in.count(first + 2), in.count(first + 3),
          in.count(first + 4)};
}

template <typename T>
Status gather_slices(Arguments& in, const Sizes& s) {
  const T* x = in.buffer<T>(0, in.elements({s.batch, s.outer, s.axis, s.slice}));
  const std::int64_t given = in.elements({s.batch, s.indices});
  const std::int32_t* indices = in.buffer<std::int32_t>(1, given);
  const std::int64_t slices = in.elements({s.batch, s.outer, s.indices});
  T* y = in.buffer<T>(2, in.elements({slices, s.slice}));
  if (!in.ok()) return in.status();
  for (std::int64_t i = 0; i < given; ++i) {
    if (indices[i] < 0 || indices[i] >= s.axis) {  // the words of tfjs, which its own specs look for
      return invalid_argument("GatherV2: the index value " + std::to_string(indices[i]) +
                              " is not in [0, " + std::to_string(s.axis - 1) + "]");
    }
  }
  if (slices * s.slice == 0) return {};
  parallel_for(slices, slices_per_chunk(s.slice), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t plane = i / s.indices;
      const std::int64_t index = indices[plane / s.outer * s.indices + i % s.indices];
      const T* from = x + (plane * s.axis + index) * s.slice;
      if (s.slice == 1) {
        y[i] = *from;
      } else {
        std::memcpy(y + i * s.slice, from, static_cast<std::size_t>(s.slice) * sizeof(T));
      }
    }
  });
  return {};
}

// buffers: x [B, O, D, C], indices int32 [B, N], y [B, O, N, C]. numbers: [elementBytes, B, O, D, N, C]; elementBytes 1 or 4.
Status gather(const OpArguments& arguments) {
  Arguments in("GatherV2", arguments, 3, 6);
  const std::int64_t size = in.count(0);
  const Sizes sizes = read_sizes(in, 1);
  if (!in.ok()) return in.status();
  if (size == 4) return gather_slices<std::uint32_t>(in, sizes);
  if (size == 1) return gather_slices<std::uint8_t>(in, sizes);
  in.fail("elements of 1 or 4 bytes", std::to_string(size));
  return in.status();
}

/// y[plane, d] = sum of x[plane, i] over the i whose index is d, in rising order; a batch has `outer` planes.
void sum_slices(const float* x, const std::int32_t* indices, const Sizes& s, float* y) {
  std::vector<Places> places;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    places.emplace_back(indices + b * s.indices, s.indices, s.axis);
  }
  parallel_for(s.batch * s.outer * s.axis, slices_per_chunk(s.slice),
               [=, &places](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t plane = i / s.axis;
                   const Places& list = places[static_cast<std::size_t>(plane / s.outer)];
                   float* sum = y + i * s.slice;
                   std::fill_n(sum, s.slice, 0.0f);
                   for (std::int64_t place = list.first[static_cast<std::size_t>(i % s.axis)];
                        place >= 0; place = list.next[static_cast<std::size_t>(place)]) {
                     const float* slice = x + (plane * s.indices + place) * s.slice;
                     for (std::int64_t c = 0; c < s.slice; ++c) sum[c] += slice[c];
                   }
                 }
               });
}

// buffers: dy [B, O, N, C], indices int32 [B, N], dx [B, O, D, C]. numbers: [B, O, D, N, C].
Status gather_grad(const OpArguments& arguments) {
  Arguments in("DmGatherV2Grad", arguments, 3, 5);
  const Sizes s = read_sizes(in, 0);
  const float* dy = in.buffer<float>(0, in.elements({s.batch, s.outer, s.indices, s.slice}));
  const std::int32_t* indices = in.buffer<std::int32_t>(1, in.elements({s.batch, s.indices}));
  float* dx = in.buffer<float>(2, in.elements({s.batch, s.outer, s.axis, s.slice}));
  check_indices(in, indices, in.elements({s.batch, s.indices}), s.axis);
  if (!in.ok()) return in.status();
  if (s.batch * s.outer * s.axis * s.slice != 0) sum_slices(dy, indices, s, dx);
  return {};
}

// buffers: x [N, C], segmentIds int32 [N], y [D, C]. numbers: [D, N, C]. Slices of ids outside 0..D-1 are left out.
Status segment_sum(const OpArguments& arguments) {
  Arguments in("UnsortedSegmentSum", arguments, 3, 3);
  const Sizes s{1, 1, in.count(0), in.count(1), in.count(2)};
  const float* x = in.buffer<float>(0, in.elements({s.indices, s.slice}));
  const std::int32_t* ids = in.buffer<std::int32_t>(1, s.indices);
  float* y = in.buffer<float>(2, in.elements({s.axis, s.slice}));
  if (!in.ok()) return in.status();
  if (s.axis * s.slice != 0) sum_slices(x, ids, s, y);
  return {};
}

}  // namespace

void register_gather(OpTable& table) {
  table.add("DmGatherV2Grad", gather_grad);
  table.add("GatherV2", gather);
  table.add("UnsortedSegmentSum", segment_sum);
}

}  // namespace dm::cpu
