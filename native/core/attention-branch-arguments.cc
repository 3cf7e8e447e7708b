// SPDX-License-Identifier: Apache-2.0
#include "core/attention-branch-arguments.h"

#include <string>

namespace dm {

namespace {

constexpr std::size_t kNumbers = 16;

bool is_cross(const OpArguments& arguments) { return flag_of(arguments, 8); }
bool is_biased(const OpArguments& arguments) { return flag_of(arguments, 9); }

}  // namespace

AttentionBranchSizes::AttentionBranchSizes(Arguments& in)
    : batch(in.count(0)),
      tokens(in.count(1)),
      context_tokens(in.count(2)),
      width(in.count(3)),
      heads(in.count(4)),
      epsilon(static_cast<float>(in.number(5))),
      type(in.flag(6) ? MatrixType::kBFloat16 : MatrixType::kFloat32),
      scaled(in.flag(7)),
      cross(in.flag(8)),
      biased(in.flag(9)),
      windows(read_window_grid(in, 10, tokens)) {
  // Every size below is a part of one of these.
  in.elements({batch, tokens, width, 3, sizeof(float)});
  in.elements({batch, context_tokens, width, 2, sizeof(float)});
  in.elements({width, width, 3, sizeof(float)});
  if (in.ok() && (heads == 0 || width % heads != 0)) {
    in.fail("heads that divide the width", std::to_string(heads));
  }
  if (in.ok() && cross && windows.any()) in.fail("no windows with a context", "windows");
  if (in.ok() && biased && !windows.any()) in.fail("windows with biases", "none");
}

AttentionBranchArguments::AttentionBranchArguments(const OpArguments& arguments)
    : in("DmAttentionBranch", arguments, is_cross(arguments) ? 19 : 18, kNumbers),
      sizes(in),
      norm(next_norm(in, sizes.rows(), sizes.width, sizes.epsilon)),
      q(in.next<const float>(sizes.projected() * sizes.width)),
      q_bias(in.next<const float>(sizes.projected())),
      proj(in.next<const float>(sizes.width * sizes.width)),
      proj_bias(in.next<const float>(sizes.width)),
      context(in.next_if<const float>(sizes.cross, sizes.context_size())),
      kv(in.next_if<const float>(sizes.cross, sizes.kv_width() * sizes.width)),
      kv_bias(in.next_if<const float>(sizes.cross, sizes.kv_width())),
      table(in.next_if<const float>(sizes.biased, sizes.table_size())),
      factors(in.next_if<const float>(sizes.scaled, sizes.batch)),
      y(in.next<float>(sizes.size())),
      mean(in.next<float>(sizes.rows())),
      rstd(in.next<float>(sizes.rows())),
      attended(in.next<std::byte>(sizes.bytes(sizes.size()))),
      log_sums(in.next<float>(sizes.rows() * sizes.heads)),
      projected(in.next<std::byte>(sizes.bytes(sizes.rows() * sizes.projected()))),
      projected_context(in.next_if<std::byte>(
          sizes.cross, sizes.bytes(sizes.context_rows() * sizes.kv_width()))) {}

AttentionBranchGradArguments::AttentionBranchGradArguments(const OpArguments& arguments)
    : in("DmAttentionBranchGrad", arguments,
         is_cross(arguments) ? 26 : is_biased(arguments) ? 23 : 22, kNumbers),
      sizes(in),
      dy(in.next<const float>(sizes.size())),
      norm(next_norm(in, sizes.rows(), sizes.width, sizes.epsilon)),
      q(in.next<const float>(sizes.projected() * sizes.width)),
      proj(in.next<const float>(sizes.width * sizes.width)),
      context(in.next_if<const float>(sizes.cross, sizes.context_size())),
      kv(in.next_if<const float>(sizes.cross, sizes.kv_width() * sizes.width)),
      table(in.next_if<const float>(sizes.biased, sizes.table_size())),
      factors(in.next_if<const float>(sizes.scaled, sizes.batch)),
      mean(in.next<const float>(sizes.rows())),
      rstd(in.next<const float>(sizes.rows())),
      attended(in.next<std::byte>(sizes.bytes(sizes.size()))),
      log_sums(in.next<const float>(sizes.rows() * sizes.heads)),
      projected(in.next<std::byte>(sizes.bytes(sizes.rows() * sizes.projected()))),
      projected_context(sizes.cross ? in.next<std::byte>(sizes.bytes(sizes.context_rows() *
                                                                    sizes.kv_width()))
                                    : nullptr),
      dx(in.next<float>(sizes.size())),
      d_norm_weight(in.next<float>(sizes.width)),
      d_norm_bias(in.next<float>(sizes.width)),
      d_q(in.next<float>(sizes.projected() * sizes.width)),
      d_q_bias(in.next<float>(sizes.projected())),
      d_proj(in.next<float>(sizes.width * sizes.width)),
      d_proj_bias(in.next<float>(sizes.width)),
      d_table(sizes.biased ? in.next<float>(sizes.table_size()) : nullptr),
      d_kv(sizes.cross ? in.next<float>(sizes.kv_width() * sizes.width) : nullptr),
      d_kv_bias(sizes.cross ? in.next<float>(sizes.kv_width()) : nullptr),
      d_context(sizes.cross ? in.next<float>(sizes.context_size()) : nullptr) {}

}  // namespace dm
