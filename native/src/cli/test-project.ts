// SPDX-License-Identifier: Apache-2.0
// CMake projects of one small file that stand in for the sources of the addon and of the device library: the same target and interface,
// built in a second.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { abi, packageFolder, version } from '../platform.ts';

const cmakeLists = `
cmake_minimum_required(VERSION 3.22...4.2)
project(small LANGUAGES CXX)
add_library(diffmavil SHARED addon.cc)
target_include_directories(diffmavil SYSTEM PRIVATE \${CMAKE_JS_INC})
set_target_properties(diffmavil PROPERTIES PREFIX "" SUFFIX ".node")
if(APPLE)
  target_link_options(diffmavil PRIVATE -undefined dynamic_lookup)
endif()
`;

const addon = (addonVersion: string): string => `
#define NAPI_VERSION 9
#include <node_api.h>
NAPI_MODULE_INIT() {
  napi_value value;
  napi_create_int32(env, ${abi}, &value);
  napi_set_named_property(env, exports, "abi", value);
  napi_create_string_utf8(env, "${addonVersion}", NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, exports, "version", value);
  napi_create_string_utf8(env, "none", NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, exports, "isa", value);
  napi_create_int32(env, 1, &value);
  napi_set_named_property(env, exports, "threads", value);
  return exports;
}
`;

export interface SmallProject {
  /** What the addon says it is. */
  readonly addonVersion?: string;
  /** More lines of CMakeLists.txt. */
  readonly more?: string;
}

/** Writes the project. @returns Its folder. */
export function writeSmallProject(
  folder: string,
  { addonVersion = version, more = '' }: SmallProject = {},
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'CMakeLists.txt'), `${cmakeLists}${more}\n`);
  writeFileSync(join(folder, 'addon.cc'), addon(addonVersion));
  return folder;
}

const libraryLists = `
cmake_minimum_required(VERSION 3.22...4.2)
project(small LANGUAGES CXX)
if(NOT DIFFMAVIL_CUDA OR NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "no nvcc is given")
endif()
list(JOIN DIFFMAVIL_CUDA_ARCHITECTURES " " architectures)
add_library(diffmavil_cuda SHARED library.cc)
target_compile_definitions(diffmavil_cuda PRIVATE ARCHITECTURES="\${architectures}")
target_include_directories(diffmavil_cuda PRIVATE ${join(packageFolder, 'cuda', 'include')})
`;

/** A device library that finds no device, and says what it is made for; for a compiler that is given ARCHITECTURES. */
export const smallLibrary = `
#include "dm_cuda.h"
static dm_cuda_status count(int32_t* devices) {
  *devices = 0;
  return DM_CUDA_NO_DEVICE;
}
static const char* message(const dm_cuda_context*) {
  return "device: expected a GPU and its driver, got a stand-in for " ARCHITECTURES;
}
extern "C" const dm_cuda_api* dm_cuda_get_api(uint32_t abi) {
  static dm_cuda_api api{};
  api.struct_size = sizeof api;
  api.abi = DM_CUDA_ABI;
  api.device_count = count;
  api.message = message;
  return abi == DM_CUDA_ABI ? &api : nullptr;
}
`;

/** Writes the project of a device library. @param source Its only file. @param more Lines of CMakeLists.txt. @returns Its folder. */
export function writeSmallLibrary(
  folder: string,
  source: string = smallLibrary,
  more = '',
): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'CMakeLists.txt'), `${libraryLists}${more}\n`);
  writeFileSync(join(folder, 'library.cc'), source);
  return folder;
}
