// SPDX-License-Identifier: Apache-2.0
#include "cuda/emulator/fiber.h"

#include <cstdint>
#include <utility>
#include <vector>

#if defined(__x86_64__)

// Saves the registers that a callee must keep, swaps stacks, restores them [System V ABI, x86-64]: a hundred times as fast as
// swapcontext, which makes two system calls.
asm(R"(
.text
.globl dm_fiber_switch
.type dm_fiber_switch, @function
dm_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size dm_fiber_switch, .-dm_fiber_switch
)");
extern "C" void dm_fiber_switch(void** save, void* to);

#else
#include <ucontext.h>
#endif

namespace dm::cuda::emulator {

namespace {
thread_local Fiber* starting = nullptr;
}

#if defined(__x86_64__)

struct Fiber::Context {
  std::vector<char> stack;
  std::function<void()> body;
  void* own = nullptr;
  void* outer = nullptr;

  static void begin() {
    Fiber* const fiber = starting;
    fiber->context_->body();
    fiber->leave();
  }
};

void Fiber::start(std::function<void()> body) {
  constexpr int kSavedRegisters = 6;
  context_->body = std::move(body);
  const auto end = reinterpret_cast<std::uintptr_t>(context_->stack.data()) + context_->stack.size();
  void** top = reinterpret_cast<void**>(end & ~std::uintptr_t{15});
  *--top = nullptr;  // begin() never returns; keeps its stack aligned
  *--top = reinterpret_cast<void*>(&Context::begin);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  context_->own = top;
}

void Fiber::enter() {
  starting = this;
  dm_fiber_switch(&context_->outer, context_->own);
}

void Fiber::leave() { dm_fiber_switch(&context_->own, context_->outer); }

#else

struct Fiber::Context {
  std::vector<char> stack;
  std::function<void()> body;
  ucontext_t own, outer;

  static void begin() {
    Fiber* const fiber = starting;
    fiber->context_->body();
    fiber->leave();
  }
};

void Fiber::start(std::function<void()> body) {
  context_->body = std::move(body);
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = context_->stack.data();
  context_->own.uc_stack.ss_size = context_->stack.size();
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Context::begin, 0);
}

void Fiber::enter() {
  starting = this;
  swapcontext(&context_->outer, &context_->own);
}

void Fiber::leave() { swapcontext(&context_->own, &context_->outer); }

#endif

Fiber::Fiber(std::size_t stack_bytes) : context_(std::make_unique<Context>()) {
  context_->stack.resize(stack_bytes);
}

Fiber::~Fiber() = default;

bool Fiber::owns(const void* data) const {
  const char* const byte = static_cast<const char*>(data);
  const std::vector<char>& stack = context_->stack;
  return byte >= stack.data() && byte < stack.data() + stack.size();
}

}  // namespace dm::cuda::emulator
