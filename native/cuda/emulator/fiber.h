// SPDX-License-Identifier: Apache-2.0
// A stack that can be left in the middle and entered again: one for each emulated thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace dm::cuda::emulator {

class Fiber {
 public:
  explicit Fiber(std::size_t stack_bytes);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Prepares a run of `body` from its beginning; one under way is forgotten.
  void start(std::function<void()> body);
  /// Runs the body until it leaves or ends. Not to be called once it has ended.
  void enter();
  /// Called inside the body: goes back to where enter() was called.
  void leave();
  /// Whether this is a place on its stack.
  bool owns(const void* data) const;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace dm::cuda::emulator
