// SPDX-License-Identifier: Apache-2.0
// One engine, a stream per thread.
#include "cpu/onednn.h"

#include <cstdlib>

#include "cpu/isa.h"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#endif

namespace dm::cpu {

namespace {

/// Before the first primitive, or it has no effect.
void cap_isa() {
#if DM_X86
  if (std::getenv("DIFFMAVIL_CPU_ISA") == nullptr) return;
  switch (isa()) {
    case Isa::kBaseline:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
      break;
    case Isa::kAvx2:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
      break;
    case Isa::kAvx512:
      dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_vnni);
      break;
    case Isa::kAvx512Bf16:
      break;
  }
#endif
}

}  // namespace

const dnnl::engine& onednn_engine() {
  static const dnnl::engine& engine = *[] {
    cap_isa();
    // Its own cache of primitives hands out wrong ones when several threads make primitives at once
    // (2.6.3, as packaged by Debian 12: tests/onednn-test.cc), and ours is in front of it anyway.
    dnnl::set_primitive_cache_capacity(0);
    return new dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

dnnl::stream& onednn_stream() {
  thread_local dnnl::stream stream(onednn_engine());
#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
  omp_set_num_threads(1);
#endif
  return stream;
}

}  // namespace dm::cpu
