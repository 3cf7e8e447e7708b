// SPDX-License-Identifier: Apache-2.0
// load-library LIBRARY: the device library loads where there is no driver, shows one symbol, and says in a sentence that there is no device.
// Exit code 77 where there is one.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "cuda/include/dm_cuda.h"

namespace {

int fault(const char* expected, const char* got) {
  std::fprintf(stderr, "load-library: expected %s, got %s\n", expected, got);
  return 1;
}

bool is_sentence(const char* text) {
  return std::strncmp(text, "device: expected a GPU and its driver, got ", 43) == 0 &&
         std::strchr(text, '\n') == nullptr;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return fault("the path of a library", "none");
  void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return fault("a library that loads", dlerror());
  const auto get_api = reinterpret_cast<const dm_cuda_api* (*)(std::uint32_t)>(
      dlsym(library, "dm_cuda_get_api"));
  if (get_api == nullptr) return fault("the symbol dm_cuda_get_api", dlerror());
  if (get_api(DM_CUDA_ABI + 1) != nullptr) return fault("no table for another abi", "one");
  const dm_cuda_api* const api = get_api(DM_CUDA_ABI);
  if (api == nullptr || api->struct_size != sizeof(dm_cuda_api)) return fault("its table", "none");
  if (api->op_count() == 0) return fault("ops", "none");
  std::int32_t devices = -1;
  const dm_cuda_status counted = api->device_count(&devices);
  if (counted == DM_CUDA_OK) return 77;
  if (counted != DM_CUDA_NO_DEVICE || devices != 0) return fault("no device", "another status");
  if (!is_sentence(api->message(nullptr))) return fault("one sentence", api->message(nullptr));
  dm_cuda_context* context = nullptr;
  if (api->create(0, &context) != DM_CUDA_NO_DEVICE || context != nullptr) {
    return fault("no context without a device", "one");
  }
  if (!is_sentence(api->message(nullptr))) return fault("one sentence", api->message(nullptr));
  std::printf("ok   %s\n", api->message(nullptr));
  return 0;
}
