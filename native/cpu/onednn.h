// SPDX-License-Identifier: Apache-2.0
// oneDNN for the families that multiply matrices. It runs on one thread: products are cut into
// tiles that depend on shapes alone and run on our own pool, so results are equal for any number of
// threads, and no second set of threads (OpenMP's) exists.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace dm::cpu {

/// The one CPU engine of the process, held to DIFFMAVIL_CPU_ISA.
const dnnl::engine& onednn_engine();

/// The stream of the calling thread. Ask for it before making a primitive as well as before running
/// one: it also tells OpenMP to use no other thread from here, which oneDNN reads in both places.
dnnl::stream& onednn_stream();

}  // namespace dm::cpu
