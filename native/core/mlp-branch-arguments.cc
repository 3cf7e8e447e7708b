// SPDX-License-Identifier: Apache-2.0
#include "core/mlp-branch-arguments.h"

namespace dm {

MlpBranchSizes::MlpBranchSizes(Arguments& in)
    : batch(in.count(0)),
      tokens(in.count(1)),
      width(in.count(2)),
      hidden(in.count(3)),
      epsilon(static_cast<float>(in.number(4))),
      type(in.flag(5) ? MatrixType::kBFloat16 : MatrixType::kFloat32),
      scaled(in.flag(6)) {
  // Every size below is a part of one of these.
  in.elements({batch, tokens, width, sizeof(float)});
  in.elements({batch, tokens, hidden, sizeof(float)});
  in.elements({hidden, width, sizeof(float)});
}

MlpBranchArguments::MlpBranchArguments(const OpArguments& arguments)
    : in("DmMlpBranch", arguments, 12, 7),
      sizes(in),
      norm(next_norm(in, sizes.rows(), sizes.width, sizes.epsilon)),
      fc1(in.next<const float>(sizes.weight_size())),
      fc1_bias(in.next<const float>(sizes.hidden)),
      fc2(in.next<const float>(sizes.weight_size())),
      fc2_bias(in.next<const float>(sizes.width)),
      factors(in.next_if<const float>(sizes.scaled, sizes.batch)),
      y(in.next<float>(sizes.size())),
      mean(in.next<float>(sizes.rows())),
      rstd(in.next<float>(sizes.rows())),
      preactivation(in.next<std::byte>(sizes.bytes(sizes.hidden_size()))) {}

MlpBranchGradArguments::MlpBranchGradArguments(const OpArguments& arguments)
    : in("DmMlpBranchGrad", arguments, 17, 7),
      sizes(in),
      dy(in.next<const float>(sizes.size())),
      norm(next_norm(in, sizes.rows(), sizes.width, sizes.epsilon)),
      fc1(in.next<const float>(sizes.weight_size())),
      fc2(in.next<const float>(sizes.weight_size())),
      factors(in.next_if<const float>(sizes.scaled, sizes.batch)),
      mean(in.next<const float>(sizes.rows())),
      rstd(in.next<const float>(sizes.rows())),
      preactivation(in.next<std::byte>(sizes.bytes(sizes.hidden_size()))),
      dx(in.next<float>(sizes.size())),
      d_norm_weight(in.next<float>(sizes.width)),
      d_norm_bias(in.next<float>(sizes.width)),
      d_fc1(in.next<float>(sizes.weight_size())),
      d_fc1_bias(in.next<float>(sizes.hidden)),
      d_fc2(in.next<float>(sizes.weight_size())),
      d_fc2_bias(in.next<float>(sizes.width)) {}

}  // namespace dm
