// SPDX-License-Identifier: Apache-2.0
// The GPUs a build has code for, as CMake lists them: "80-real 90a-real 100".
#pragma once

#include <string>
#include <string_view>

namespace dm::cuda {

/// Whether one of them runs on a GPU of that compute capability. Code for sm_80 runs on 8.0 and later 8.x; what ends in a letter on that one
/// alone; an entry without `-real` on everything later too. True for what CMake alone understands ("native", "all").
bool runs_on(std::string_view architectures, int major, int minor);

/// "sm_80, sm_90a, sm_100".
std::string architecture_names(std::string_view architectures);

}  // namespace dm::cuda
