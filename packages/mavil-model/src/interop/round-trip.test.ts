// SPDX-License-Identifier: Apache-2.0
// What is exported under Hugging Face's names comes back as it was.
import { expect, it } from 'vitest';

import { defineModel } from '../config.ts';
import type { PartialModelConfig } from '../config.ts';
import { parameterShapes } from '../parameters.ts';
import { presets } from '../presets.ts';
import { interleavedTable } from './arrays.ts';
import type { Values } from './arrays.ts';
import { convertForeign } from './convert.ts';
import { toHuggingFace } from './to-hugging-face.ts';
import type { HuggingFaceFormat } from './to-hugging-face.ts';

const { encoder } = presets.tiny;

it.each<[HuggingFaceFormat, PartialModelConfig, number]>([
  ['hf-vitmae', { video: null, encoder: { ...encoder, classToken: true } }, 30],
  ['hf-videomae', { audio: null, encoder: { ...encoder, positions: 'learned' } }, 29],
])('gives back what was exported as %s', (format, part, count) => {
  const config = defineModel({ ...presets.tiny, fusion: { kind: 'none' }, ...part });
  const weights: Record<string, Values> = {};
  for (const [name, shape] of Object.entries(parameterShapes(config))) {
    const size = shape.reduce((product, n) => product * n, 1);
    weights[name] = { shape, data: Float32Array.from({ length: size }, (_, i) => i % 1021) };
  }
  if (format === 'hf-videomae') weights['video_encoder.positions'] = interleavedTable(32, 24);
  const exported = toHuggingFace(config, weights, { format });
  const tensors = Object.fromEntries(
    Object.entries(exported.tensors).map(([name, { shape, data }]) => [
      name,
      { dtype: 'F32', shape, data } as const,
    ]),
  );
  const back = convertForeign({ source: 'w', tensors, config: exported.config });
  const { audio, video } = back.config;
  expect([audio, video]).toEqual([config.audio, config.video]);
  expect(Object.keys(back.weights)).toHaveLength(count);
  for (const [name, { data }] of Object.entries(back.weights)) {
    // Keys have no bias in VideoMAE; fixed positions come back as a table.
    if (name.endsWith('qkv.bias') || name.endsWith('.positions')) continue;
    expect([...data]).toEqual([...(weights[name]?.data ?? [])]);
  }
});
