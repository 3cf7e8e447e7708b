// SPDX-License-Identifier: Apache-2.0
// An op: a function from buffers and numbers to a status. Buffers are inputs first, then outputs
// (allocated by the caller); element counts, shapes and attributes travel as numbers, in the order
// that the comment above each op states.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dm/buffer.h"
#include "dm/status.h"

namespace dm {

/// How a tensor's elements are stored; the numbers are those of native/src/binding.ts.
enum class DType { kFloat32 = 0, kInt32 = 1, kBool = 2 };

struct OpArguments {
  Buffer* const* buffers;
  std::size_t buffer_count;
  const double* numbers;
  std::size_t number_count;
};

using OpFunction = Status (*)(const OpArguments&);

/// Ops by name; an op's id is its place. Built once, then only read, so it needs no lock.
class OpTable {
 public:
  void add(std::string name, OpFunction function);
  /// The id of an op, or -1.
  int find(std::string_view name) const;
  std::size_t size() const { return functions_.size(); }
  /// Runs an op; an exception out of the standard library becomes a status here.
  Status run(std::size_t id, const OpArguments& arguments) const;

 private:
  std::vector<OpFunction> functions_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, int> ids_;
};

/// All ops of this build.
const OpTable& op_table();

}  // namespace dm
