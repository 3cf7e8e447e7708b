// SPDX-License-Identifier: Apache-2.0
// A CMake project of one small file that stands in for the addon's sources: the same target and interface, built in a second.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { abi, version } from '../platform.ts';

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
