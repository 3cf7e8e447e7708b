// SPDX-License-Identifier: Apache-2.0
// Runs an op of the table on vectors, as the addon would on buffers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "buffers.h"
#include "check.h"
#include "core/thread-pool.h"
#include "dm/op.h"

namespace dm::test {

inline Status run_op(const char* name, std::vector<Buffer> buffers,
                     const std::vector<double>& numbers) {
  const int id = op_table().find(name);
  if (id < 0) return invalid_argument(std::string("no op ") + name);
  std::vector<Buffer*> pointers;
  for (Buffer& buffer : buffers) pointers.push_back(&buffer);
  return op_table().run(static_cast<std::size_t>(id),
                        {pointers.data(), pointers.size(), numbers.data(), numbers.size()});
}

/// What the op complains of; empty when it ran.
inline std::string complaint(const char* name, std::vector<Buffer> buffers,
                             const std::vector<double>& numbers) {
  return run_op(name, std::move(buffers), numbers).message();
}

/// Runs copies of a case with 1 and with 4 threads: their bits are the same.
template <class Case>
void check_threads(Case one) {
  Case four = one;
  const int before = threads();
  set_threads(1);
  CHECK_EQUAL(one.run(complaint), "");
  set_threads(4);
  CHECK_EQUAL(four.run(complaint), "");
  set_threads(before);
  CHECK(four.same_bits(one));
}

}  // namespace dm::test
