// SPDX-License-Identifier: Apache-2.0
#include "cuda/device/cublaslt-api.h"

#include <dlfcn.h>

#include <initializer_list>

namespace dm::cuda::lt {

namespace {

void* open(const char* path) {
  if (path != nullptr && *path != '\0') return dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

bool load(const char* path, Api& api) {
  void* const library = open(path);
  if (library == nullptr) return false;
  const bool all = find(library, "cublasLtGetVersion", api.version) &&
                   find(library, "cublasLtCreate", api.create) &&
                   find(library, "cublasLtDestroy", api.destroy) &&
                   find(library, "cublasLtMatmulDescCreate", api.desc_create) &&
                   find(library, "cublasLtMatmulDescDestroy", api.desc_destroy) &&
                   find(library, "cublasLtMatmulDescSetAttribute", api.desc_set) &&
                   find(library, "cublasLtMatrixLayoutCreate", api.layout_create) &&
                   find(library, "cublasLtMatrixLayoutDestroy", api.layout_destroy) &&
                   find(library, "cublasLtMatrixLayoutSetAttribute", api.layout_set) &&
                   find(library, "cublasLtMatmulPreferenceCreate", api.preference_create) &&
                   find(library, "cublasLtMatmulPreferenceDestroy", api.preference_destroy) &&
                   find(library, "cublasLtMatmulPreferenceSetAttribute", api.preference_set) &&
                   find(library, "cublasLtMatmulAlgoGetHeuristic", api.heuristic) &&
                   find(library, "cublasLtMatmul", api.matmul);
  if (!all) dlclose(library);
  return all;
}

}  // namespace dm::cuda::lt
