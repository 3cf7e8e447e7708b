// SPDX-License-Identifier: Apache-2.0
// The one table of device ops, filled by every family.
#include <exception>
#include <new>
#include <utility>

#include "cuda/core/device.h"
#include "cuda/families.h"

namespace dm::cuda {

namespace {

/// Whichever way an op ends, its buffers may have been written.
class OpRange {
 public:
  OpRange(Device& device, const char* name, const OpArguments& arguments)
      : device_(device), arguments_(arguments) {
    device.op_begins(name);
    device.shadows().begin_op();
  }
  ~OpRange() {
    for (std::size_t i = 0; i < arguments_.buffer_count; ++i) {
      device_.shadows().end_op(arguments_.buffers[i]->data, arguments_.buffers[i]->bytes);
    }
    device_.op_ends();
  }
  OpRange(const OpRange&) = delete;
  OpRange& operator=(const OpRange&) = delete;

 private:
  Device& device_;
  const OpArguments& arguments_;
};

}  // namespace

void DeviceOpTable::add(std::string name, DeviceOp op) {
  ids_.emplace(name, static_cast<int>(ops_.size()));
  ops_.push_back(op);
  names_.push_back(std::move(name));
}

int DeviceOpTable::find(std::string_view name) const {
  const auto found = ids_.find(std::string(name));
  return found == ids_.end() ? -1 : found->second;
}

Status DeviceOpTable::run(Device& device, std::size_t id, const OpArguments& arguments) const {
  if (id >= ops_.size()) {
    return invalid_argument("run: expected the id of an op below " + std::to_string(ops_.size()) +
                            ", got " + std::to_string(id));
  }
  device.clear();
  try {
    Status status;
    {
      const OpRange range(device, names_[id].c_str(), arguments);
      status = ops_[id](device, arguments);
    }
    if (!status.ok()) return status;
    if (device.status().ok()) return {};
    return {device.status().code(), names_[id] + ": " + device.status().message()};
  } catch (const std::bad_alloc&) {
    return {StatusCode::kOutOfMemory, names_[id] + ": expected host memory, got none"};
  } catch (const std::exception& error) {
    return {StatusCode::kInternal, names_[id] + ": " + error.what()};
  }
}

const DeviceOpTable& device_op_table() {
  // Never destroyed: threads of JavaScript workers may outlive static destructors.
  static const DeviceOpTable& table = *[] {
    auto* filled = new DeviceOpTable;
#define DM_REGISTER_FAMILY(stem) register_##stem(*filled);
    DM_CUDA_FAMILIES(DM_REGISTER_FAMILY)
#undef DM_REGISTER_FAMILY
    return filled;
  }();
  return table;
}

}  // namespace dm::cuda
