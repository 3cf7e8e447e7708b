// SPDX-License-Identifier: Apache-2.0
// Every op that reads or writes through indices refuses those outside, before it touches memory.
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "run-op.h"

using dm::test::buffer_of;
using dm::test::complaint;

TEST("refuses indices outside") {
  std::vector<float> x(12);
  std::vector<float> y(12);
  for (const std::int32_t outside : {-1, 3, INT32_MIN, INT32_MAX}) {
    std::vector<std::int32_t> at{0, outside};
    const std::string got = std::to_string(outside);
    for (const char* op : {"DmGatherTokens", "DmScatterTokens"}) {
      CHECK_EQUAL(complaint(op, {buffer_of(x), buffer_of(at), buffer_of(y)}, {0, 1, 3, 2, 4}),
                  std::string(op) + ": expected indices 0..2, got " + got);
    }
    CHECK_EQUAL(complaint("GatherV2", {buffer_of(x), buffer_of(at), buffer_of(y)}, {4, 1, 1, 3, 2, 4}),
                "GatherV2: the index value " + got + " is not in [0, 2]");
    CHECK_EQUAL(
        complaint("DmGatherV2Grad", {buffer_of(y), buffer_of(at), buffer_of(x)}, {1, 1, 3, 2, 4}),
        "DmGatherV2Grad: expected indices 0..2, got " + got);
    const std::string place = "expected indices into the tensor, got place " + got + " of 3";
    CHECK_EQUAL(complaint("GatherNd", {buffer_of(x), buffer_of(at), buffer_of(y)}, {4, 2, 1, 4, 3, 1}),
                "GatherNd: " + place);
    CHECK_EQUAL(complaint("ScatterNd", {buffer_of(at), buffer_of(x), buffer_of(y)}, {0, 2, 1, 4, 3, 1}),
                "ScatterNd: " + place);
    std::vector<float> signal{1};
    CHECK_EQUAL(complaint("DmDiffuse",
                        {buffer_of(x), buffer_of(at), buffer_of(signal), buffer_of(signal),
                         buffer_of(x), buffer_of(y)},
                        {1, 3, 2, 4, 0}),
                "DmDiffuse: expected indices 0..2, got " + got);
    std::vector<float> loss(1);
    CHECK_EQUAL(complaint("DmMaskedPatchLoss",
                        {buffer_of(x), buffer_of(x), buffer_of(at), buffer_of(loss), buffer_of(y)},
                        {1, 3, 2, 4, 0}),
                "DmMaskedPatchLoss: expected indices 0..2, got " + got);
  }
}

TEST("leaves out segments outside") {
  std::vector<float> x{1, 2, 4, 8};
  std::vector<std::int32_t> ids{1, -1, 1, 2};
  std::vector<float> y(2);
  CHECK_EQUAL(complaint("UnsortedSegmentSum", {buffer_of(x), buffer_of(ids), buffer_of(y)}, {2, 4, 1}), "");
  CHECK_EQUAL(y[0], 0.0f);
  CHECK_EQUAL(y[1], 5.0f);
}

TEST("refuses sizes whose product overflows") {
  std::vector<float> x(4);
  std::vector<std::int32_t> at{0};
  const double large = 4294967296.0;
  CHECK_EQUAL(complaint("GatherV2", {buffer_of(x), buffer_of(at), buffer_of(x)},
                      {4, large, large, large, 1, 1}),
              "GatherV2: expected at most 2^53 - 1 elements, got more");
}
