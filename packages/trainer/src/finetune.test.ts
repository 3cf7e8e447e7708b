// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { layerScales } from './finetune.ts';

it('decays the learning rate from the head to the embeddings', () => {
  const names = [
    'audio_encoder.patch_embed.weight',
    'audio_encoder.cls_token',
    'audio_encoder.blocks.0.norm1.weight',
    'audio_encoder.blocks.11.mlp.fc2.bias',
    'audio_encoder.norm.weight',
    'audio_head.linear.weight',
  ];
  const scales = layerScales(names, 12, 0.75);
  // 0.75^13 = 0.0238 for embeddings, 0.75^(13 - (k + 1)) for block k, 1 for the rest, as in AudioMAE.
  expect(scales['audio_encoder.patch_embed.weight']).toBeCloseTo(0.0237573, 6);
  expect(scales['audio_encoder.cls_token']).toBeCloseTo(0.0237573, 6);
  expect(scales['audio_encoder.blocks.0.norm1.weight']).toBeCloseTo(0.75 ** 12, 12);
  expect(scales['audio_encoder.blocks.11.mlp.fc2.bias']).toBeCloseTo(0.75, 12);
  expect(scales['audio_encoder.norm.weight']).toBe(1);
  expect(scales['audio_head.linear.weight']).toBe(1);
});
