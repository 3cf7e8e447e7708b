// SPDX-License-Identifier: Apache-2.0
#include "core/concat-arguments.h"

namespace dm {

ConcatArguments::ConcatArguments(const char* op, const OpArguments& arguments, bool whole_first)
    : in(op, arguments, arguments.number_count - 1, 2) {
  const std::int64_t size = in.count(0);
  outer = in.count(1);
  const std::size_t count = in.ok() ? in.number_count() - 2 : 0;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const std::int64_t inner = in.elements({in.count(2 + i), size});
    const std::size_t buffer = whole_first ? i + 1 : i;
    parts.push_back({in.buffer<std::byte>(buffer, in.elements({outer, inner})), inner, row});
    row += inner;
    if (row > kMaxCount) in.fail("at most 2^53 - 1 bytes", "more");
  }
  whole = in.buffer<std::byte>(whole_first ? 0 : count, in.elements({outer, row}));
}

}  // namespace dm
