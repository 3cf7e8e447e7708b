// SPDX-License-Identifier: Apache-2.0
// Copies in bfloat16 of weights that products read: made when a product first needs one, kept beside the float32 master and found by its
// address, and written by the optimizer in the pass that writes the master. A copy is there only while it holds what the master holds:
//   - memory that is given back, uploaded to, or written by an op loses its copy. Ops do not say what they write, so a copy lives through an
//     op only if that op read it (`of`, good for one of the op's buffers) or rewrites it (`rewritten`);
//   - while work is recorded instead of run, the list is that of the time when it will run. At the end of the record the list of before it is
//     back; each run first refreshes the copies that the record uses, and leaves those masters' copies as the record did.
// Memory is the device's, in the order of its stream, so that a copy may be dropped while kernels still read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/core/bf16.cuh"

namespace dm::cuda {

class Device;
class ShadowRecord;

class ShadowWeights {
 public:
  explicit ShadowWeights(Device& device) : device_(device) {}
  ~ShadowWeights();
  ShadowWeights(const ShadowWeights&) = delete;
  ShadowWeights& operator=(const ShadowWeights&) = delete;

  /// The copy of master [count], for a product of the op that runs. Null after a fault, which the device has.
  const bf16* of(const float* master, std::int64_t count);
  /// The copy that this op fills with all that it writes to master [count], of which it has two buffers at most; null when there is none.
  bf16* rewritten(const float* master, std::int64_t count);

  /// Before an op, and for each of its buffers after it.
  void begin_op() { ++op_; }
  void end_op(const void* data, std::size_t bytes);
  /// These bytes are given back or written: copies of what is there go.
  void drop(const void* data, std::size_t bytes);
  /// The same of memory that begins here.
  void drop(const void* data) { drop(data, 1); }
  /// Drops all, between ops: for memory that others than the device write or give back. Does nothing while something is recorded.
  void forget();
  /// Gives all memory back, before the device ends. Records have to be gone.
  void clear();

  /// Around work that is recorded. What is returned has the copies that the record uses, and is to live as long as the record.
  void begin_record();
  std::unique_ptr<ShadowRecord> end_record();
  /// Around a run of the record, on the stream.
  void before_run(const ShadowRecord& record);
  void after_run(const ShadowRecord& record);

  /// Copies that are there; and how often one was made from its master.
  std::size_t size() const { return copies_.size(); }
  std::int64_t made() const { return made_; }

 private:
  friend class ShadowRecord;
  struct Copy;
  /// By the address of the master; the masters do not overlap.
  using Copies = std::map<std::uintptr_t, std::shared_ptr<Copy>>;

  std::shared_ptr<Copy> find(const float* master, std::int64_t count);
  void fill(const Copy& copy);
  void note(const std::shared_ptr<Copy>& copy, int buffers);

  Device& device_;
  Copies copies_;
  std::unique_ptr<ShadowRecord> record_;  ///< while one is made
  Copies before_record_;
  std::uint64_t op_ = 0;
  std::int64_t made_ = 0;
};

/// What a record does to copies.
class ShadowRecord {
 public:
  ~ShadowRecord();

 private:
  friend class ShadowWeights;
  bool touches(const ShadowWeights::Copy& copy) const;
  /// In order, those that overlap as one.
  void sort_touched();

  std::vector<std::shared_ptr<ShadowWeights::Copy>> used_;
  std::vector<std::shared_ptr<ShadowWeights::Copy>> left_;  ///< those of them that are good after it
  /// First and last byte of what its ops were given.
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> touched_;
};

}  // namespace dm::cuda
