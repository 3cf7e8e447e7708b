// SPDX-License-Identifier: Apache-2.0
#include "core/attention-arguments.h"

#include <string>

namespace dm {

AttentionSizes::AttentionSizes(Arguments& in)
    : batch(in.count(0)),
      queries(in.count(1)),
      keys(in.count(2)),
      width(in.count(3)),
      heads(in.count(4)),
      biased(in.flag(5)),
      windows(read_window_grid(in, 6, queries)) {
  in.elements({batch, queries, width, sizeof(float)});
  in.elements({batch, keys, width, sizeof(float)});
  if (in.ok() && (heads == 0 || width % heads != 0)) {
    in.fail("heads that divide the width", std::to_string(heads));
  }
  if (in.ok() && windows.any() && keys != queries) {
    in.fail("as many keys as queries with windows", std::to_string(keys));
  }
  if (in.ok() && biased && !windows.any()) in.fail("windows with biases", "none");
}

AttentionArguments::AttentionArguments(const OpArguments& arguments)
    : in("DmAttention", arguments, 6, 12),
      sizes(in),
      query(in.buffer<const float>(0, sizes.query_size())),
      key(in.buffer<const float>(1, sizes.key_size())),
      value(in.buffer<const float>(2, sizes.key_size())),
      table(sizes.biased ? in.buffer<const float>(3, sizes.table_size()) : nullptr),
      y(in.buffer<float>(4, sizes.query_size())),
      log_sums(in.buffer<float>(5, sizes.log_sums())) {}

AttentionGradArguments::AttentionGradArguments(const OpArguments& arguments)
    : in("DmAttentionGrad", arguments, flag_of(arguments, 5) ? 11 : 10, 12),
      sizes(in),
      dy(in.buffer<const float>(0, sizes.query_size())),
      query(in.buffer<const float>(1, sizes.query_size())),
      key(in.buffer<const float>(2, sizes.key_size())),
      value(in.buffer<const float>(3, sizes.key_size())),
      table(sizes.biased ? in.buffer<const float>(4, sizes.table_size()) : nullptr),
      y(in.buffer<const float>(5, sizes.query_size())),
      log_sums(in.buffer<const float>(6, sizes.log_sums())),
      d_query(in.buffer<float>(7, sizes.query_size())),
      d_key(in.buffer<float>(8, sizes.key_size())),
      d_value(in.buffer<float>(9, sizes.key_size())),
      d_table(sizes.biased ? in.buffer<float>(10, sizes.table_size()) : nullptr) {}

}  // namespace dm
