// SPDX-License-Identifier: Apache-2.0
#include "cuda/core/architectures.h"

#include <cctype>
#include <cstdlib>
#include <sstream>

namespace dm::cuda {

namespace {

struct Architecture {
  std::string name;  ///< "90a"
  int capability;    ///< 90; 0 for what is no number
  bool one_only, translated;
};

template <class Use>
void for_each(std::string_view architectures, const Use& use) {
  std::istringstream list{std::string(architectures)};
  for (std::string entry; list >> entry;) {
    const std::string name = entry.substr(0, entry.find('-'));
    use(Architecture{name, std::atoi(name.c_str()), std::isalpha(name.back()) != 0,
                     entry.find("-real") == std::string::npos});
  }
}

}  // namespace

bool runs_on(std::string_view architectures, int major, int minor) {
  const int there = 10 * major + minor;
  bool runs = false;
  for_each(architectures, [&](const Architecture& built) {
    const bool same_major = built.capability / 10 == major && there >= built.capability;
    runs = runs || built.capability == 0 || there == built.capability ||
           (!built.one_only && (same_major || (built.translated && there >= built.capability)));
  });
  return runs;
}

std::string architecture_names(std::string_view architectures) {
  std::string names;
  for_each(architectures, [&names](const Architecture& built) {
    names += (names.empty() ? "sm_" : ", sm_") + built.name;
  });
  return names;
}

}  // namespace dm::cuda
