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

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace dm::cuda::emulator {

namespace {

thread_local Fiber* starting = nullptr;

/// Tells the address sanitizer which stack is in use: without it a report would show one call, and frames would be taken for those of another stack.
class Stacks {
 public:
#ifdef __SANITIZE_ADDRESS__
  void go_in(const std::vector<char>& stack) {
    __sanitizer_start_switch_fiber(&outer_, stack.data(), stack.size());
  }
  void are_in() { __sanitizer_finish_switch_fiber(own_, &bottom_, &bytes_); }
  void go_out(bool for_good) { __sanitizer_start_switch_fiber(for_good ? nullptr : &own_, bottom_, bytes_); }
  void are_out() { __sanitizer_finish_switch_fiber(outer_, nullptr, nullptr); }

 private:
  void* own_ = nullptr;  ///< what it keeps of a stack that is not in use
  void* outer_ = nullptr;
  const void* bottom_ = nullptr;  ///< of the stack that enter() was called on
  std::size_t bytes_ = 0;
#else
  void go_in(const std::vector<char>&) {}
  void are_in() {}
  void go_out(bool) {}
  void are_out() {}
#endif
};

}  // namespace

#if defined(__x86_64__)

struct Fiber::Context {
  std::vector<char> stack;
  std::function<void()> body;
  Stacks stacks;
  void* own = nullptr;
  void* outer = nullptr;

  void switch_in() { dm_fiber_switch(&outer, own); }
  void switch_out() { dm_fiber_switch(&own, outer); }
  static void begin() {
    Context& own = *starting->context_;
    own.stacks.are_in();
    own.body();
    own.stacks.go_out(true);
    own.switch_out();
  }
};

void Fiber::start(std::function<void()> body) {
  constexpr int kSavedRegisters = 6;
  context_->body = std::move(body);
  context_->stacks = {};
  const auto end = reinterpret_cast<std::uintptr_t>(context_->stack.data()) + context_->stack.size();
  void** top = reinterpret_cast<void**>(end & ~std::uintptr_t{15});
  *--top = nullptr;  // begin() never returns; keeps its stack aligned
  *--top = reinterpret_cast<void*>(&Context::begin);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  context_->own = top;
}

#else

struct Fiber::Context {
  std::vector<char> stack;
  std::function<void()> body;
  Stacks stacks;
  ucontext_t own, outer;

  void switch_in() { swapcontext(&outer, &own); }
  void switch_out() { swapcontext(&own, &outer); }
  static void begin() {
    Context& own = *starting->context_;
    own.stacks.are_in();
    own.body();
    own.stacks.go_out(true);
    own.switch_out();
  }
};

void Fiber::start(std::function<void()> body) {
  context_->body = std::move(body);
  context_->stacks = {};
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = context_->stack.data();
  context_->own.uc_stack.ss_size = context_->stack.size();
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Context::begin, 0);
}

#endif

void Fiber::enter() {
  starting = this;
  context_->stacks.go_in(context_->stack);
  context_->switch_in();
  context_->stacks.are_out();
}

void Fiber::leave() {
  context_->stacks.go_out(false);
  context_->switch_out();
  context_->stacks.are_in();
}

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
