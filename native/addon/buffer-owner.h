// SPDX-License-Identifier: Apache-2.0
// Buffers as JavaScript sees them: Externals, freed by hand or by the collector, and only ever
// those of the owner they are handed to.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <unordered_set>

#include "dm/buffer.h"

namespace dm::addon {

/// The buffers that one JavaScript thread has of one kind of memory. They are listed, so that an
/// External of another addon, or of another device, is told apart without touching it. Made with
/// `new`; goes by itself when it is closed and its last buffer has gone.
class BufferOwner {
 public:
  BufferOwner() = default;
  BufferOwner(const BufferOwner&) = delete;
  BufferOwner& operator=(const BufferOwner&) = delete;

  /// An External for a buffer of `new`, which belongs to it from here on; null with an error
  /// pending, and the buffer gone.
  napi_value wrap(napi_env env, Buffer* buffer);
  /// The buffer of an External, or null when the value is something else. It may have been freed.
  Buffer* find(napi_env env, napi_value value) const;
  /// Gives its memory back; a second time does nothing.
  void free(napi_env env, Buffer& buffer);
  /// No buffers are made any more.
  void close();

  std::size_t count() const { return buffers_.size(); }

 protected:
  virtual ~BufferOwner() = default;
  /// Gives the memory back.
  virtual void release(Buffer& buffer) = 0;
  /// Whether V8's collector hears of the bytes. Where memory that runs out has it started anyway, it need not.
  virtual bool collector_is_told() const { return true; }
  /// Deletes what has no memory any more.
  virtual void discard(napi_env env, Buffer* buffer) = 0;
  const std::unordered_set<Buffer*>& buffers() const { return buffers_; }

 private:
  static void finalize(napi_env env, void* data, void* hint);
  void account(napi_env env, std::int64_t bytes);
  void end_if_unused();

  std::unordered_set<Buffer*> buffers_;
  std::int64_t bytes_ = 0;     ///< of the buffers in use
  std::int64_t reported_ = 0;  ///< of these, what V8 knows of
  bool closed_ = false;
};

}  // namespace dm::addon
