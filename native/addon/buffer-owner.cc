// SPDX-License-Identifier: Apache-2.0
#include "addon/buffer-owner.h"

#include "addon/napi.h"

namespace dm::addon {

namespace {

/// Growth that V8 is not told of, besides a quarter of what it knows of.
constexpr std::int64_t kUnreported = std::int64_t{64} << 20;

}  // namespace

napi_value BufferOwner::wrap(napi_env env, Buffer* buffer) {
  napi_value external = nullptr;
  if (napi_create_external(env, buffer, finalize, this, &external) != napi_ok) {
    release(*buffer);
    discard(env, buffer);
    return fail(env, {StatusCode::kInternal, "allocate: expected an External, got none"});
  }
  buffers_.insert(buffer);
  account(env, static_cast<std::int64_t>(buffer->bytes));
  return external;
}

Buffer* BufferOwner::find(napi_env env, napi_value value) const {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok) return nullptr;
  auto* buffer = static_cast<Buffer*>(data);
  return buffers_.contains(buffer) ? buffer : nullptr;
}

void BufferOwner::free(napi_env env, Buffer& buffer) {
  if (buffer.freed) return;
  release(buffer);
  buffer.freed = true;
  buffer.data = nullptr;
  account(env, -static_cast<std::int64_t>(buffer.bytes));
}

void BufferOwner::close() {
  closed_ = true;
  end_if_unused();
}

void BufferOwner::finalize(napi_env env, void* data, void* hint) {
  auto* buffer = static_cast<Buffer*>(data);
  auto* owner = static_cast<BufferOwner*>(hint);
  owner->free(env, *buffer);
  owner->buffers_.erase(buffer);
  owner->discard(env, buffer);
  owner->end_if_unused();
}

/// Tells V8, whose collector would otherwise not know that dropping a tensor pays; but not of every
/// rise and fall: it answers with collections, and a training step allocates and frees more than
/// all there is at its start.
void BufferOwner::account(napi_env env, std::int64_t bytes) {
  bytes_ += bytes;
  if (!collector_is_told()) return;
  const std::int64_t change = bytes_ - reported_;
  const bool grown = change > reported_ / 4 + kUnreported;
  const bool shrunk = bytes_ < reported_ / 2;
  if (!grown && !shrunk) return;
  std::int64_t total = 0;
  napi_adjust_external_memory(env, change, &total);
  reported_ = bytes_;
}

void BufferOwner::end_if_unused() {
  if (closed_ && buffers_.empty()) delete this;
}

}  // namespace dm::addon
