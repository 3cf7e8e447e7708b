// SPDX-License-Identifier: Apache-2.0
// Finds and loads the addon. Nothing is downloaded or built here, and nothing is loaded before it is asked for.
//
// Order: DIFFMAVIL_NATIVE=off (none); DIFFMAVIL_NATIVE_PATH (that file or an error); a local build; the user's build cache, whose
// manifest is checked first because a truncated file would end the process; the package of the platform.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeviceError } from '@diffmavil/core';
import type { Addon } from './binding.ts';

/** The meaning of the addon's exports; equals `kAbi` of native/addon/addon.cc. */
const abi = 1;
const require = createRequire(import.meta.url);
const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** One place that was looked at, and what was found. */
export interface LoadAttempt {
  readonly source: 'DIFFMAVIL_NATIVE_PATH' | 'local build' | 'cache' | 'package';
  readonly place: string;
  readonly problem: string;
}

/** The outcome of a search; `addon` is null when nothing could be loaded. */
export interface LoadResult {
  readonly addon: Addon | null;
  /** Where the addon is from, or null. */
  readonly place: string | null;
  readonly attempts: readonly LoadAttempt[];
}

let found: LoadResult | undefined;

/** Looks for the addon, once per thread, and never throws. */
export function findAddon(): LoadResult {
  found ??= searchAddon(process.env);
  return found;
}

/**
 * The addon.
 *
 * @throws DeviceError that lists every place looked at, and what to do.
 */
export function loadAddon(): Addon {
  const result = findAddon();
  if (result.addon === null) throw new DeviceError(explainAttempts(result.attempts));
  return result.addon;
}

/** `linux-x64`, `linux-x64-musl`, `darwin-arm64`, … */
export function platformName(): string {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === 'linux' && !usesGlibc() ? `${name}-musl` : name;
}

/** The search itself, under the given environment; not remembered. */
export function searchAddon(environment: NodeJS.ProcessEnv): LoadResult {
  const attempts: LoadAttempt[] = [];
  if (environment['DIFFMAVIL_NATIVE'] === 'off') return { addon: null, place: null, attempts };
  const forced = environment['DIFFMAVIL_NATIVE_PATH'];
  const places: [LoadAttempt['source'], string][] =
    forced === undefined || forced === ''
      ? [
          ['local build', join(root, 'build', 'Release', 'diffmavil.node')],
          ['cache', join(cacheFolder(environment), 'diffmavil.node')],
          ['package', `@diffmavil/native-${platformName()}`],
        ]
      : [['DIFFMAVIL_NATIVE_PATH', forced]];
  for (const [source, place] of places) {
    const outcome = tryLoad(source, place);
    if (typeof outcome !== 'string') return { addon: outcome, place, attempts };
    attempts.push({ source, place, problem: outcome });
  }
  return { addon: null, place: null, attempts };
}

/** The addon, or what is wrong with this place. */
function tryLoad(source: LoadAttempt['source'], place: string): Addon | string {
  if (source !== 'package' && !existsSync(place)) return 'not found';
  if (source === 'cache') {
    const problem = checkManifest(place);
    if (problem !== null) return problem;
  }
  let addon: Partial<Addon>;
  try {
    addon = (source === 'package' ? requirePlatformPackage(place) : require(place)) as Addon;
  } catch (error) {
    return describe(error);
  }
  const { version } = require('../package.json') as { version: string };
  if (addon.abi !== abi) return `expected interface ${abi}, got ${String(addon.abi)}`;
  if (addon.version !== version) return `expected version ${version}, got ${String(addon.version)}`;
  return addon as Addon;
}

/** Literal names, so that bundlers see them. */
function requirePlatformPackage(name: string): unknown {
  switch (name) {
    case '@diffmavil/native-linux-x64':
      return require('@diffmavil/native-linux-x64');
    case '@diffmavil/native-linux-arm64':
      return require('@diffmavil/native-linux-arm64');
    case '@diffmavil/native-darwin-arm64':
      return require('@diffmavil/native-darwin-arm64');
    default:
      throw new Error(`no package is made for ${platformName()}`);
  }
}

function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const { version } = require('../package.json') as { version: string };
  const base = environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(base, 'diffmavil', `native-${version}-napi9-${platformName()}`);
}

/** What is wrong with a cached file, or null. */
function checkManifest(place: string): string | null {
  try {
    const text = readFileSync(join(dirname(place), 'manifest.json'), 'utf8');
    const manifest = JSON.parse(text) as { sha256?: string };
    const sha256 = createHash('sha256').update(readFileSync(place)).digest('hex');
    return manifest.sha256 === sha256 ? null : 'damaged: its checksum is not that of manifest.json';
  } catch (error) {
    return `no valid manifest.json: ${describe(error)}`;
  }
}

function usesGlibc(): boolean {
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeNetwork = true; // resolving addresses can stall
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const line = (message ?? String(error)).split('\n')[0] ?? '';
  if (code === 'ERR_DLOPEN_DISABLED')
    return `${line} Try: without --no-addons, or with --allow-addons`;
  return code === undefined ? line : `${code}: ${line}`;
}

/** Why there is no addon, and what to do about it. */
export function explainAttempts(attempts: readonly LoadAttempt[]): string {
  const platform = platformName();
  const lines = [
    `native: expected an addon for ${platform} (Node ${process.version}), got none that loads.`,
  ];
  if (attempts.length === 0) lines.push('  It is switched off by DIFFMAVIL_NATIVE=off.');
  for (const { source, place, problem } of attempts) {
    lines.push(`  ${source.padEnd(12)} ${place}: ${problem}`);
  }
  lines.push(
    'Try: npm install --include=optional @diffmavil/native, or in a checkout npm run build:native ' +
      '(cmake, a C++20 compiler, oneDNN), or another tfjs backend',
  );
  return lines.join('\n');
}
