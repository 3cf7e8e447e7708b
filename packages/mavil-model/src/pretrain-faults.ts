// SPDX-License-Identifier: Apache-2.0
// Whether a model can be pre-trained with a masking curriculum, asked before any data is read: every epoch must leave visible and masked tokens.
import { ConfigError } from '@diffmavil/core';
import { ScheduleError } from '@diffmavil/schedulers';

import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { maskRatioOf, maskRatiosAt, pretrainVisibleCount } from './masking.ts';
import type { MaskCurricula } from './masking.ts';

/**
 * What keeps a model from being pre-trained over `epochs` (1 or more) with `masking`: one clause per fault, each naming its key, none when
 * nothing does. A curriculum has one fault at most: the first epoch it cannot have.
 */
export function pretrainFaults(
  config: ModelConfig,
  masking: MaskCurricula,
  epochs: number,
): string[] {
  const overlap = faultOf(() => refuseOverlap(config, 'model'));
  const hidden = modalities(config).flatMap((modality) =>
    maskingFault(config, modality, masking, epochs),
  );
  return [...overlap, ...('kind' in masking ? hidden.slice(0, 1) : hidden)];
}

/** The first epoch in which `modality` cannot be masked as asked. */
function maskingFault(
  config: ModelConfig,
  modality: Modality,
  masking: MaskCurricula,
  epochs: number,
): string[] {
  for (let epoch = 0; epoch < epochs; epoch++) {
    const fault = faultOf(() => {
      const ratio = maskRatioOf(maskRatiosAt(masking, epoch, epochs), modality);
      pretrainVisibleCount(config, modality, ratio, modality);
    });
    if (fault.length > 0) return [`masking: ${fault[0]}`];
  }
  return [];
}

function faultOf(check: () => void): string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof ConfigError || error instanceof ScheduleError) return [error.message];
    throw error;
  }
}

/** What overlapping patches hide would still be seen in their neighbours. Throws ConfigError naming `where`. */
export function refuseOverlap({ audio }: ModelConfig, where: string): void {
  if (audio === null || audio.stride === audio.patch) return;
  throw new ConfigError(
    `${where}: expected audio.stride to be audio.patch (${audio.patch}), got ${audio.stride}: ` +
      'overlapping patches can be embedded and classified, not restored',
  );
}
