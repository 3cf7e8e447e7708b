// SPDX-License-Identifier: Apache-2.0
// That 'exact' is what runs is tested in pass.test.ts; here, what follows from it, and the canonical formulas.
import { describe, expect, it } from 'vitest';

import { defineModel } from '../config.ts';
import { countMacs } from '../flops.ts';
import { presets } from '../presets.ts';
import { trainingCosts, trainingCostsOverCurriculum } from './training.ts';

const mavil = presets['paper-mavil'];

describe('trainingCosts', () => {
  it('counts float32 weights, gradients and AdamW moments: 76,092 weights of the tiny preset', () => {
    for (const accounting of ['canonical', 'exact'] as const) {
      const { parameters, gradients, optimizer, activations, total } = trainingCosts(
        presets.tiny,
        0.8,
        { accounting },
      ).bytes;
      expect([parameters, gradients, optimizer]).toEqual([304_368, 304_368, 608_736]);
      expect(total).toBe(4 * 304_368 + activations);
    }
  });

  it('takes three forward passes of two operations per multiply-accumulate, canonically', () => {
    const { flops } = trainingCosts(mavil, 0.8, { batch: 2 });
    // Table 5: 156,244,827,136 MACs of a clip.
    expect(flops).toEqual({
      forward: 4 * 156_244_827_136,
      backward: 8 * 156_244_827_136,
      recomputed: 0,
      total: 12 * 156_244_827_136,
    });
  });

  it('runs the products of countMacs and the contrast of the batch, exactly', () => {
    const batch = 4;
    const { flops } = trainingCosts(mavil, 0.8, { batch, accounting: 'exact' });
    const { total } = countMacs(mavil, 0.8, { accounting: 'exact' });
    // Between modalities, and between the views of each.
    const contrast = 3 * batch ** 2 * 768;
    expect(flops.forward).toBe(2 * (batch * total + contrast));
    // Patches are data: 102 and 313 of them in both views have no gradient of their own.
    const patches = 2 * (102 * 256 + 313 * 1536) * 768;
    expect(flops.backward).toBe(2 * (batch * (2 * total - patches) + 2 * contrast));
  });

  it('keeps 16 vectors of each token and all attention probabilities of a block, canonically', () => {
    const deeper = defineModel({ ...mavil, encoder: { ...mavil.encoder, depth: 13 } });
    const kept = (config: typeof mavil): number => trainingCosts(config, 0.8).bytes.activations;
    // Without its dropout masks, 32 s b h bytes in 16 bits and 2 a s^2 b of probabilities [arXiv 2205.05198 eq. 1]; here float32, two views.
    const block = (tokens: number): number => 2 * (32 * tokens * 768 + 2 * 12 * tokens ** 2);
    expect(kept(deeper) - kept(mavil)).toBe(2 * (block(102) + block(313)));
  });

  it('grows with the batch, but for what a batch shares', () => {
    const swin = presets['audiomae-swin'];
    const kept = (batch: number): number =>
      trainingCosts(swin, 0.8, { batch, accounting: 'exact' }).bytes.activations;
    // Sixteen position biases: 256 pairs of 2 offsets, 2 x 384 hidden values, 16 heads; rows of three weights; masks, temperatures, constants.
    const shared = 2 * kept(1) - kept(2);
    const biases = 16 * 256 * (2 + 2 * 384 + 16);
    const weights = 16 * 3 * 512 ** 2;
    const masks = 8 * 512 * 16;
    expect(shared).toBe(4 * (biases + weights + masks + 16 * (4 + 16) + 2));
  });

  it('refuses a batch that is no number of clips', () => {
    expect(() => trainingCosts(mavil, 0.8, { batch: 0.5 })).toThrow(
      'trainingCosts: expected batch to be a whole number from 1, got 0.5',
    );
  });
});

describe('trainingCostsOverCurriculum', () => {
  it('averages operations and takes the most memory of the epochs', () => {
    const curriculum = { kind: 'linear', start: 0.9, end: 0.8 } as const;
    const [low, high] = [0.8, 0.9].map((ratio) => trainingCosts(mavil, ratio));
    const over = trainingCostsOverCurriculum(mavil, curriculum, 2);
    expect(over.flops.total).toBe((low!.flops.total + high!.flops.total) / 2);
    expect(over.bytes).toEqual(low!.bytes);
    expect(() => trainingCostsOverCurriculum(mavil, curriculum, 0)).toThrow(
      'trainingCostsOverCurriculum: expected epochs from 1, got none',
    );
  });
});
