// SPDX-License-Identifier: Apache-2.0
// Finds and loads the addon. Nothing is downloaded or built here, and nothing is loaded before it is asked for.
//
// Order: DIFFMAVIL_NATIVE=off (none); DIFFMAVIL_NATIVE_PATH (that file or an error); a local build; the user's build cache
// (`diffmavil-native build`), whose manifest is checked first; the package of the platform.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { DeviceError } from '@diffmavil/core';
import type { Addon } from './binding.ts';
import { addonFile, cacheFolder, cachedProblem } from './cache.ts';
import { abi, packageFolder, platformName, version } from './platform.ts';

const require = createRequire(import.meta.url);

/** A place to look at: a file, or the name of a package. */
export interface AddonPlace {
  readonly source: 'DIFFMAVIL_NATIVE_PATH' | 'local build' | 'cache' | 'package';
  readonly place: string;
}

/** One place that was looked at, and what was found. */
export interface LoadAttempt extends AddonPlace {
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

/** The search itself, under the given environment; not remembered. @param folder The package, for its local build. */
export function searchAddon(environment: NodeJS.ProcessEnv, folder?: string): LoadResult {
  const attempts: LoadAttempt[] = [];
  for (const { source, place } of addonPlaces(environment, folder)) {
    const outcome = tryLoad({ source, place });
    if (typeof outcome !== 'string') return { addon: outcome, place, attempts };
    attempts.push({ source, place, problem: outcome });
  }
  return { addon: null, place: null, attempts };
}

/** The places to look at, in order; none with DIFFMAVIL_NATIVE=off. */
export function addonPlaces(
  environment: NodeJS.ProcessEnv,
  folder: string = packageFolder,
): AddonPlace[] {
  if (environment['DIFFMAVIL_NATIVE'] === 'off') return [];
  const forced = environment['DIFFMAVIL_NATIVE_PATH'] ?? '';
  if (forced !== '') return [{ source: 'DIFFMAVIL_NATIVE_PATH', place: resolve(forced) }];
  return [
    { source: 'local build', place: join(folder, 'build', 'Release', addonFile) },
    { source: 'cache', place: join(cacheFolder(environment), addonFile) },
    { source: 'package', place: `@diffmavil/native-${platformName()}` },
  ];
}

/** The addon, or what is wrong with this place. */
function tryLoad(place: AddonPlace): Addon | string {
  const problem = problemBeforeLoading(place);
  if (problem !== null) return problem;
  let addon: Partial<Addon>;
  try {
    addon = (
      place.source === 'package' ? requirePlatformPackage(place.place) : require(place.place)
    ) as Addon;
  } catch (error) {
    return describeLoadError(error);
  }
  return mismatch(addon) ?? (addon as Addon);
}

/** What can be known to be wrong without loading the file. */
export function problemBeforeLoading({ source, place }: AddonPlace): string | null {
  if (source === 'package') return null;
  if (!existsSync(place)) return 'not found';
  return source === 'cache' ? cachedProblem(place) : null;
}

/** Whether what was loaded is of another interface or version. */
export function mismatch(addon: {
  readonly abi?: unknown;
  readonly version?: unknown;
}): string | null {
  if (addon.abi !== abi) return `expected interface ${abi}, got ${String(addon.abi)}`;
  if (addon.version !== version) return `expected version ${version}, got ${String(addon.version)}`;
  return null;
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

/** The first line of what Node says, with its code, and what to do where Node does not say it. */
export function describeLoadError(error: unknown): string {
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
    'Try: npm install --include=optional @diffmavil/native, or npx diffmavil-native build ' +
      '(cmake, a C++20 compiler; in a checkout npm run build:native), or another tfjs backend',
  );
  return lines.join('\n');
}
