// SPDX-License-Identifier: Apache-2.0
// Where ops run: a GPU's stream, or the emulator. Ops see this and the arguments; nothing else of the driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cuda/core/shadow-weights.h"
#include "dm/op.h"

namespace dm::cuda {

/// What the C table tells of a device.
struct DeviceFacts {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;
  int multiprocessors = 0;
  int driver = 0, runtime = 0;
  std::uint64_t total_bytes = 0, free_bytes = 0;
};

/// A product for the library of a device's driver: c = a b (+ bias) (+ added), row after row. a [m, k] and b [k, n] are of one type; a step is
/// the number of elements from row to row of what is stored, a batch step that from matrix to matrix.
struct LibraryProduct {
  std::int64_t m, k, n, batch;
  const void* a;
  const void* b;
  void* c;
  const float* bias;   ///< [n], or null
  float* a_sums;       ///< [m]: the sums of a along k, written, of one matrix without bias; or null
  const float* added;  ///< [batch, m, n] by the steps of c, which is float32 then; may be c; or null
  bool a_transposed;   ///< stored as [k, m]
  bool b_transposed;   ///< stored as [n, k]
  std::int64_t a_step, b_step, c_step;
  std::int64_t a_batch_step, b_batch_step, c_batch_step;
  bool bfloat16;    ///< a and b
  bool c_bfloat16;
};

/// What ops see of a device and its stream. Not for two threads at once. A subclass tells shadows() of memory that it gives back or uploads to
/// and of records, and clears them before it ends.
class Device {
 public:
  Device();
  virtual ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Memory for buffers, 256-byte aligned. `allocate` may be null, with `status` set.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data) = 0;
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
  /// Waits for everything started before.
  virtual void download(void* to, const void* from, std::size_t bytes) = 0;
  virtual void synchronize() = 0;
  /// Whether an earlier fault has spoilt the device for this process.
  virtual bool lost() const { return false; }

  /// The stream as the driver, or the emulator, knows it.
  virtual void* stream() const = 0;
  virtual DeviceFacts facts() = 0;
  virtual int multiprocessors() const = 0;
  /// Memory for the op that is running, 256-byte aligned, its content undefined; the next call of the same op may get the same. Null, with
  /// `status` set, when there is none.
  virtual void* scratch(std::size_t bytes) = 0;
  /// Nothing that is started from here on uses these bytes of scratch, until scratch() is called again. For the address sanitizer.
  virtual void hide(const void*, std::size_t) {}
  /// Like allocate, for memory that is kept to compute with; goes back through `release`.
  virtual void* workspace(std::size_t bytes) { return allocate(bytes); }
  /// Starts a product on the driver's library. False, and nothing done, where there is none or it does not take this one.
  virtual bool multiply(const LibraryProduct&) { return false; }
  /// The copies in bfloat16 of weights that are on this device.
  ShadowWeights& shadows() { return *shadows_; }
  /// Seed of the emulator's schedules; not used by a GPU.
  virtual std::uint64_t order() const { return 0; }

  /// A kernel was put on the stream, or was not: `error` is what the driver said then, otherwise null.
  virtual void launched(const char* error) {
    if (error != nullptr) {
      fail({StatusCode::kInternal, std::string("launch: expected a kernel to start, got ") + error});
    }
  }

  /// Around every op, by its name; `name` outlives the device.
  virtual void op_begins(const char*) {}
  virtual void op_ends() {}

  /// The first fault of the op that is running. A launch after a fault does nothing.
  const Status& status() const { return status_; }
  void fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  void clear() { status_ = {}; }

 private:
  Status status_;
  std::unique_ptr<ShadowWeights> shadows_;
};

/// Bytes: dm_cuda_memory says of what.
struct MemoryFacts {
  std::uint64_t in_use = 0, cached = 0, peak = 0, workspace = 0, staging = 0;
};

/// A copy to the host under way.
class Fetch {
 public:
  virtual ~Fetch() = default;
  /// Waits for it, on any thread, and copies what it brought to `to`.
  virtual Status wait(void* to) = 0;
};

/// Work that was recorded.
class Graph {
 public:
  virtual ~Graph() = default;
  std::unique_ptr<ShadowRecord> shadows;
};

/// What the C table sees of a device besides. Faults are in `status`; dm_cuda.h says what each function does.
class DeviceContext : public Device {
 public:
  /// Before every call, on the thread that calls.
  virtual void enter() {}
  virtual MemoryFacts memory() = 0;
  virtual void trim() = 0;

  virtual void* stage(std::size_t bytes) = 0;
  virtual void unstage(void* memory) = 0;
  virtual void upload_staged(void* to, void* memory, std::size_t bytes) = 0;
  virtual Fetch* fetch(const void* from, std::size_t bytes) = 0;
  virtual void fetch_end(Fetch* fetch) = 0;

  virtual void time_begin() = 0;
  virtual double time_end() = 0;
  virtual void range_push(const char* name) = 0;
  virtual void range_pop() = 0;

  virtual bool capturing() = 0;
  virtual void capture_begin() = 0;
  virtual Graph* capture_end() = 0;
  virtual void replay(Graph* graph) = 0;
  virtual void graph_destroy(Graph* graph) = 0;
};

/// Computes on device memory: the buffers of `arguments` point there. Nothing waits for the device.
using DeviceOp = Status (*)(Device& device, const OpArguments& arguments);

/// Ops by name, with the buffers and numbers of the CPU ops of the same names (cpu/*.cc).
class DeviceOpTable {
 public:
  void add(std::string name, DeviceOp op);
  /// The id of an op, or -1.
  int find(std::string_view name) const;
  std::size_t size() const { return ops_.size(); }
  const std::string& name(std::size_t id) const { return names_[id]; }
  Status run(Device& device, std::size_t id, const OpArguments& arguments) const;

 private:
  std::vector<DeviceOp> ops_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, int> ids_;
};

/// All ops of this build.
const DeviceOpTable& device_op_table();

/// The devices behind the C table: those of the driver, or the emulated one (device/open-device.cc).
Status count_devices(int& count);
Status open_device(int index, std::unique_ptr<DeviceContext>& device);

}  // namespace dm::cuda
