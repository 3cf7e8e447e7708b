// SPDX-License-Identifier: Apache-2.0
#include "core/diffuse-arguments.h"

namespace dm {

DiffuseArguments::DiffuseArguments(const OpArguments& arguments)
    : in("DmDiffuse", arguments, 6, 5),
      batch(in.count(0)),
      tokens(in.count(1)),
      masked(in.count(2)),
      values(in.count(3)),
      all(in.elements({batch, masked, values})),
      clean(in.buffer<const float>(0, in.elements({batch, tokens, values}))),
      indices(in.buffer<const std::int32_t>(1, in.elements({batch, masked}))),
      signal(in.buffer<const float>(2, batch)),
      scale(in.buffer<const float>(3, batch)),
      keys(in.flag(4) ? in.buffer<const std::int32_t>(4, in.elements({batch, 4})) : nullptr),
      noise(in.flag(4) ? nullptr : in.buffer<const float>(4, all)),
      y(in.buffer<float>(5, all)) {}

}  // namespace dm
