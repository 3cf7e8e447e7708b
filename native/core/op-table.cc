// SPDX-License-Identifier: Apache-2.0
// The one table of ops, filled by every family.
#include <exception>
#include <new>
#include <utility>

#include "cpu/families.h"
#include "dm/op.h"

namespace dm {

void OpTable::add(std::string name, OpFunction function) {
  ids_.emplace(name, static_cast<int>(functions_.size()));
  functions_.push_back(function);
  names_.push_back(std::move(name));
}

int OpTable::find(std::string_view name) const {
  const auto found = ids_.find(std::string(name));
  return found == ids_.end() ? -1 : found->second;
}

Status OpTable::run(std::size_t id, const OpArguments& arguments) const {
  if (id >= functions_.size()) {
    return invalid_argument("run: expected the id of an op below " +
                            std::to_string(functions_.size()) + ", got " + std::to_string(id));
  }
  try {
    return functions_[id](arguments);
  } catch (const std::bad_alloc&) {
    return {StatusCode::kOutOfMemory, names_[id] + ": expected memory for scratch, got none"};
  } catch (const std::exception& error) {
    return {StatusCode::kInternal, names_[id] + ": " + error.what()};
  }
}

const OpTable& op_table() {
  // Never destroyed: threads of JavaScript workers may outlive static destructors.
  static const OpTable& table = *[] {
    auto* filled = new OpTable;
#define DM_REGISTER_FAMILY(stem) cpu::register_##stem(*filled);
    DM_CPU_FAMILIES(DM_REGISTER_FAMILY)
#undef DM_REGISTER_FAMILY
    return filled;
  }();
  return table;
}

}  // namespace dm
