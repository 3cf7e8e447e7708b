// SPDX-License-Identifier: Apache-2.0
// Which addon fits: the package's version, the interface that this code expects, the machine's name.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The meaning of the addon's exports; equals `kAbi` of native/addon/addon.cc. */
export const abi = 2;

/** The meaning of the device library's table; equals `DM_CUDA_ABI` of native/cuda/include/dm_cuda.h. */
export const deviceAbi = 2;

/** The level of Node-API; equals `NAPI_VERSION` of native/CMakeLists.txt. */
export const nodeApi = 9;

/** The installed package: its package.json, and the sources of the addon. */
export const packageFolder: string = dirname(dirname(fileURLToPath(import.meta.url)));

/** The version that addon and package share. */
export const version: string = (
  createRequire(import.meta.url)('../package.json') as { version: string }
).version;

/** `linux-x64`, `linux-x64-musl`, `darwin-arm64`, … */
export function platformName(): string {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' && !usesGlibc() ? `${name}-musl` : name;
}

function usesGlibc(): boolean {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeNetwork = true; // resolving addresses can stall
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}
