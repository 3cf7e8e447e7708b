// SPDX-License-Identifier: Apache-2.0
// The user's cache of what `diffmavil-native build` builds, the addon and the device library: where each is, and the manifest without which
// nothing in it is loaded.
// A truncated file would end the process with SIGBUS, so size and checksum are compared before the file is opened as a library.
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { abi, deviceAbi, nodeApi, platformName, version } from './platform.ts';

export const addonFile = 'diffmavil.node';
export const libraryFile = 'libdiffmavil_cuda.so';
const manifestFile = 'manifest.json';

/** What is built and kept by itself, in a folder of its own. */
export interface Part {
  readonly file: string;
  /** Its interface, as a number and in the folder's name. */
  readonly abi: number;
  readonly tag: string;
}
export const addonPart: Part = { file: addonFile, abi, tag: `napi${nodeApi}` };
export const libraryPart: Part = { file: libraryFile, abi: deviceAbi, tag: `cuda${deviceAbi}` };

/** What stands beside a cached file; written after it. */
export interface Manifest {
  readonly version: string;
  readonly abi: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** `$XDG_CACHE_HOME/diffmavil`, else `~/.cache/diffmavil`. A relative XDG_CACHE_HOME counts as none, as its standard says. */
export function cacheRoot(environment: NodeJS.ProcessEnv): string {
  const given = environment['XDG_CACHE_HOME'] ?? '';
  return join(isAbsolute(given) ? given : join(homedir(), '.cache'), 'diffmavil');
}

/** The folder of this version's addon, or device library, for this machine. */
export function cacheFolder(environment: NodeJS.ProcessEnv, part: Part = addonPart): string {
  return join(cacheRoot(environment), `native-${version}-${part.tag}-${platformName()}`);
}

/** Describes what was built in `folder`, which from then on counts as complete. */
export function writeManifest(folder: string, part: Part = addonPart): Manifest {
  const place = join(folder, part.file);
  const sizeBytes = statSync(place).size;
  const manifest = { version, abi: part.abi, sizeBytes, sha256: sha256Of(place) };
  writeFileSync(join(folder, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** What is wrong with a cached file, found without loading it; null when it is as its manifest says. */
export function cachedProblem(place: string, part: Part = addonPart): string | null {
  let manifest: Partial<Manifest> | null;
  try {
    const text = readFileSync(join(dirname(place), manifestFile), 'utf8');
    manifest = JSON.parse(text) as Partial<Manifest> | null;
  } catch (error) {
    return `no valid ${manifestFile}: ${(error as Error).message}`;
  }
  if (manifest?.abi !== part.abi) return `expected interface ${part.abi}, got ${manifest?.abi}`;
  if (manifest.version !== version) return `expected version ${version}, got ${manifest.version}`;
  const { size } = statSync(place);
  if (manifest.sizeBytes !== size)
    return `damaged: expected ${manifest.sizeBytes} bytes, got ${size}`;
  return manifest.sha256 === sha256Of(place)
    ? null
    : `damaged: its checksum is not that of ${manifestFile}`;
}

function sha256Of(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
