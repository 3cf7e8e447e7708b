// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native where`: every place of the loader's list, in its order, and what is there. Each addon is loaded in a process of its
// own, so that a damaged one is a line of the list and not the end of the command. Likewise the device library's places.
import { createRequire } from 'node:module';
import { isAbsolute } from 'node:path';
import { libraryAt, libraryPlaces } from '../cuda/library.ts';
import type { LibraryPlace } from '../cuda/library.ts';
import { addonPlaces, describeLoadError, problemBeforeLoading } from '../loader.ts';
import type { AddonPlace } from '../loader.ts';
import { probeAddon, probeLibrary } from './probe.ts';
import type { AddonFacts, LibraryFacts } from './probe.ts';

export interface FoundPlace extends AddonPlace {
  /** What the addon there says about itself, or what is wrong. */
  readonly found: AddonFacts | string;
  /** Whether it is the one that programs use. */
  readonly used: boolean;
}

/** Looks at every place. @param folder The package, for its local build. */
export function lookEverywhere(environment: NodeJS.ProcessEnv, folder?: string): FoundPlace[] {
  let first = true;
  return addonPlaces(environment, folder).map((place) => {
    const found = problemBeforeLoading(place) ?? probe(place, environment);
    const used = first && typeof found !== 'string';
    if (used) first = false;
    return { ...place, found, used };
  });
}

export interface FoundLibrary extends LibraryPlace {
  /** What the device library there finds, or what is wrong; null where there is no addon to try it. */
  readonly found: LibraryFacts | string | null;
  /** Whether it is the one that programs use. */
  readonly used: boolean;
}

/** Looks at every place of the device library. @param addonPlace The addon that programs use, or null. */
export function lookForLibrary(
  environment: NodeJS.ProcessEnv,
  addonPlace: string | null,
  folder?: string,
): FoundLibrary[] {
  const addon = addonPlace === null ? null : fileOf(addonPlace);
  let first = true;
  return libraryPlaces(environment, addonPlace, folder).map((place) => {
    const there = libraryAt(place);
    if ('problem' in there) return { ...place, found: there.problem, used: false };
    const found = addon === null ? null : probeLibrary(there.file, addon, environment);
    const used = first && addon !== null;
    first = false;
    return { ...place, found, used };
  });
}

/** The file of the addon that programs use, or null. */
export function usedAddon(environment: NodeJS.ProcessEnv): string | null {
  const loads = (place: AddonPlace): boolean =>
    problemBeforeLoading(place) === null && typeof probe(place, environment) !== 'string';
  const place = addonPlaces(environment).find(loads)?.place;
  return place === undefined ? null : fileOf(place);
}

/** The file of a place that is one, or the name of a package. */
function fileOf(place: string): string {
  return isAbsolute(place) ? place : createRequire(import.meta.url).resolve(place);
}

function probe({ place }: AddonPlace, environment: NodeJS.ProcessEnv): AddonFacts | string {
  try {
    return probeAddon(fileOf(place), environment);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'MODULE_NOT_FOUND' ? 'not installed' : describeLoadError(error);
  }
}
