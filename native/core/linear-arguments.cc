// SPDX-License-Identifier: Apache-2.0
#include "core/linear-arguments.h"

#include <cstddef>

namespace dm {

namespace {

/// Buffers that are there only with a flag.
std::size_t one_if(const OpArguments& arguments, std::size_t flag) {
  return flag_of(arguments, flag) ? 1 : 0;
}

void* next_preactivation(Arguments& in, const LinearSizes& sizes) {
  return in.next_bytes(sizes.y, static_cast<std::size_t>(bytes_of(sizes.type)));
}

}  // namespace

LinearSizes::LinearSizes(Arguments& in)
    : rows(in.count(0)),
      in_width(in.count(1)),
      out_width(in.count(2)),
      type(in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32),
      x(in.elements({rows, in_width})),
      weight(in.elements({out_width, in_width})),
      y(in.elements({rows, out_width})) {}

LinearArguments::LinearArguments(const OpArguments& arguments)
    : in("DmLinear", arguments, 3 + one_if(arguments, 3) + one_if(arguments, 4), 6),
      sizes(in),
      gelu(in.flag(4)),
      x(in.next<const float>(sizes.x)),
      weight(in.next<const float>(sizes.weight)),
      bias(in.flag(3) ? in.next<const float>(sizes.out_width) : nullptr),
      y(in.next<float>(sizes.y)),
      preactivation(gelu ? next_preactivation(in, sizes) : nullptr) {}

LinearGradArguments::LinearGradArguments(const OpArguments& arguments)
    : in("DmLinearGrad", arguments,
         4 + one_if(arguments, 3) + one_if(arguments, 4) + one_if(arguments, 6), 7),
      sizes(in),
      gelu(in.flag(4)),
      dy(in.next<const float>(sizes.y)),
      x(in.next<const float>(sizes.x)),
      weight(in.next<const float>(sizes.weight)),
      preactivation(gelu ? next_preactivation(in, sizes) : nullptr),
      d_weight(in.next<float>(sizes.weight)),
      d_bias(in.flag(3) ? in.next<float>(sizes.out_width) : nullptr),
      dx(in.flag(6) ? in.next<float>(sizes.x) : nullptr) {}

}  // namespace dm
