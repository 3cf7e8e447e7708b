// SPDX-License-Identifier: Apache-2.0
// Runs an op of the table on vectors, as the addon would on buffers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "buffers.h"
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

}  // namespace dm::test
