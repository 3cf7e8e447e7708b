// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native where`: every place of the loader's list, in its order, and what is there. Each addon is loaded in a process of its
// own, so that a damaged one is a line of the list and not the end of the command.
import { createRequire } from 'node:module';
import { addonPlaces, describeLoadError, problemBeforeLoading } from '../loader.ts';
import type { AddonPlace } from '../loader.ts';
import { probeAddon } from './probe.ts';
import type { AddonFacts } from './probe.ts';

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

function probe({ source, place }: AddonPlace, environment: NodeJS.ProcessEnv): AddonFacts | string {
  try {
    const file = source === 'package' ? createRequire(import.meta.url).resolve(place) : place;
    return probeAddon(file, environment);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'MODULE_NOT_FOUND' ? 'not installed' : describeLoadError(error);
  }
}
