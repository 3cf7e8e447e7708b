// SPDX-License-Identifier: Apache-2.0
// Which instruction set the row kernels of cpu/simd run with. Every file there is compiled once per
// instruction set, into a namespace named after it, and defines constant tables of function
// pointers; `DM_PER_ISA` declares such a table, `DM_PICK(table)` is the one to use on this machine.
#pragma once

#if defined(__x86_64__)
#define DM_X86 1
#endif

namespace dm::cpu {

enum class Isa { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };

/// The best that the processor and system support, capped by
/// DIFFMAVIL_CPU_ISA=baseline|avx2|avx512|avx512bf16; asked once.
Isa isa();
const char* isa_name(Isa isa);

/// The table for this machine.
template <typename T>
const T& pick(const T& baseline, const T& avx2, const T& avx512, const T& avx512bf16) {
  switch (isa()) {
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx512Bf16:
      return avx512bf16;
    case Isa::kBaseline:
      break;
  }
  return baseline;
}

}  // namespace dm::cpu

#if DM_X86
#define DM_PER_ISA(Type, table) \
  namespace baseline {          \
  extern const Type table;      \
  }                             \
  namespace avx2 {              \
  extern const Type table;      \
  }                             \
  namespace avx512 {            \
  extern const Type table;      \
  }                             \
  namespace avx512bf16 {        \
  extern const Type table;      \
  }
#define DM_PICK(table)                                                                          \
  ::dm::cpu::pick(::dm::cpu::baseline::table, ::dm::cpu::avx2::table, ::dm::cpu::avx512::table, \
                  ::dm::cpu::avx512bf16::table)
#else
#define DM_PER_ISA(Type, table) \
  namespace baseline {          \
  extern const Type table;      \
  }
#define DM_PICK(table) (::dm::cpu::baseline::table)
#endif
