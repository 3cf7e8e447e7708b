// SPDX-License-Identifier: Apache-2.0
// What DmDiffuse is given: packages/core/src/ops/diffuse.ts. B batch, T tokens, M masked patches, P values of a patch.
#pragma once

#include <cstdint>

#include "core/arguments.h"

namespace dm {

/// buffers: patches [B, T, P], indices int32 [B, M], signal [B], noiseScale [B], keys int32 [B, 4] or noise [B, M, P], y [B, M, P].
/// numbers: [B, T, M, P, keyed].
struct DiffuseArguments {
  Arguments in;
  std::int64_t batch, tokens, masked, values;
  std::int64_t all;  ///< elements of y
  const float* clean;
  const std::int32_t* indices;
  const float *signal, *scale;
  const std::int32_t* keys;  ///< or null
  const float* noise;        ///< or null
  float* y;

  explicit DiffuseArguments(const OpArguments& arguments);
};

}  // namespace dm
