// SPDX-License-Identifier: Apache-2.0
// Whether a model can be pre-trained with a masking curriculum, asked before any data is read: every epoch must leave visible and masked tokens.
import { ConfigError } from '@diffmavil/core';

import { modalities } from './config.ts';
import type { ModelConfig } from './config.ts';
import { maskRatioOf, maskRatiosAt, pretrainVisibleCount } from './masking.ts';
import type { MaskCurricula } from './masking.ts';

/**
 * What keeps a model from being pre-trained over `epochs` (1 or more) with `masking`: one clause per fault, each naming its key, none when
 * nothing does. A ratio that many epochs share is one fault.
 */
export function pretrainFaults(
  config: ModelConfig,
  masking: MaskCurricula,
  epochs: number,
): string[] {
  const faults = new Set<string>();
  const collect = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.add(error.message);
    }
  };
  collect(() => refuseOverlap(config, 'model'));
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const modality of modalities(config)) {
      collect(() => {
        const ratio = maskRatioOf(maskRatiosAt(masking, epoch, epochs), modality);
        pretrainVisibleCount(config, modality, ratio, `masking: ${modality}`);
      });
    }
  }
  return [...faults];
}

/** What overlapping patches hide would still be seen in their neighbours. Throws ConfigError naming `where`. */
export function refuseOverlap({ audio }: ModelConfig, where: string): void {
  if (audio === null || audio.stride === audio.patch) return;
  throw new ConfigError(
    `${where}: expected audio.stride to be audio.patch (${audio.patch}), got ${audio.stride}: ` +
      'overlapping patches can be embedded and classified, not restored',
  );
}
