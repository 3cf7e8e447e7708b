// SPDX-License-Identifier: Apache-2.0
// Detection, once.
#include "cpu/isa.h"

#include <cstdlib>
#include <cstring>

namespace dm::cpu {

namespace {

Isa detect() {
#if DM_X86
  __builtin_cpu_init();
  Isa best = Isa::kBaseline;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::kAvx2;
  if (best == Isa::kAvx2 && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    best = Isa::kAvx512;
  }
  if (best == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16")) best = Isa::kAvx512Bf16;
  if (const char* cap = std::getenv("DIFFMAVIL_CPU_ISA")) {
    for (int i = 0; i <= static_cast<int>(best); ++i) {
      if (std::strcmp(cap, isa_name(static_cast<Isa>(i))) == 0) return static_cast<Isa>(i);
    }
  }
  return best;
#else
  return Isa::kBaseline;
#endif
}

}  // namespace

Isa isa() {
  static const Isa best = detect();
  return best;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512bf16";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace dm::cpu
