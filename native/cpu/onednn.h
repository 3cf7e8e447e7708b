// SPDX-License-Identifier: Apache-2.0
// oneDNN for the families that multiply matrices. Debian's build runs on OpenMP, not on our pool;
// it is kept to the same number of threads. Both sleep when idle, and ops run one after the other,
// so they do not compete.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace dm::cpu {

/// The one CPU engine of the process.
const dnnl::engine& onednn_engine();

/// The stream of the calling thread. Ask for it before making a primitive as well as before running
/// one: it also tells OpenMP how many threads to use from here, which oneDNN reads in both places.
dnnl::stream& onednn_stream();

}  // namespace dm::cpu
