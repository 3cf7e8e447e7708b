// SPDX-License-Identifier: Apache-2.0
// `diffmavil-native build`: the addon, from the sources in this package into the user's cache, where the loader looks.
import { DeviceError } from '@diffmavil/core';
import { addonPart } from '../cache.ts';
import { packageFolder } from '../platform.ts';
import { buildPart } from './build-folder.ts';
import type { BuildOptions } from './build-folder.ts';
import { nodeApiHeaders } from './cmake.ts';
import { probeAddon } from './probe.ts';
import type { AddonFacts } from './probe.ts';

export interface BuiltAddon extends AddonFacts {
  readonly place: string;
  readonly sizeBytes: number;
}

/**
 * Builds and installs the addon.
 *
 * @throws DeviceError what is missing, or that another build is going on; the signal's reason when it is raised.
 */
export async function buildAddon(options: BuildOptions): Promise<BuiltAddon> {
  const recipe = {
    part: addonPart,
    sources: options.sources ?? packageFolder,
    definitions: [`CMAKE_JS_INC=${nodeApiHeaders()}`],
    target: 'diffmavil',
    room: '20 MB',
    probe: (file: string): AddonFacts => {
      const facts = probeAddon(file, options.environment);
      if (typeof facts === 'string')
        throw new DeviceError(
          `build: expected an addon that loads, got one that does not: ${facts}`,
        );
      return facts;
    },
  };
  const { facts, place, sizeBytes } = await buildPart(recipe, options);
  return { ...facts, place, sizeBytes };
}
