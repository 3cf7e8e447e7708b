// SPDX-License-Identifier: Apache-2.0
// Names and layouts as `transformers` 5.18 reads them; conformance/export/check_hugging_face.py loads such files there.
import { describe, expect, it } from 'vitest';

import { defineModel } from '../config.ts';
import type { ModelConfig, PartialModelConfig } from '../config.ts';
import { parameterShapes } from '../parameters.ts';
import { positionTable } from '../positions.ts';
import { readForeignFile } from '../node/foreign-file.ts';
import { presets } from '../presets.ts';
import { convertForeign } from './convert.ts';
import { toHuggingFace } from './to-hugging-face.ts';
import type { HostTensor } from './to-hugging-face.ts';

const { encoder } = presets.tiny;
const tiny = (rest: PartialModelConfig): ModelConfig => defineModel({ ...presets.tiny, ...rest });

/** Weights whose every value is its own place, so that a wrong layout shows. */
function countedWeights(config: ModelConfig): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(parameterShapes(config)).map(([name, shape]) => {
      const size = shape.reduce((product, n) => product * n, 1);
      return [name, { shape, data: Float32Array.from({ length: size }, (_, i) => i) }];
    }),
  );
}

/** VideoMAE's fixed table: one axis over all tokens, sines at even places, cosines at odd ones. */
function videoMaePositions(tokens: number, width: number): Float32Array {
  return Float32Array.from({ length: tokens * width }, (_, at) => {
    const place = at % width;
    const angle = Math.floor(at / width) / 10000 ** ((2 * Math.floor(place / 2)) / width);
    return place % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
}

const sound = tiny({ encoder: { ...encoder, depth: 1, classToken: true, modalityToken: true } });

describe('toHuggingFace, hf-vitmae', () => {
  const { config, tensors } = toHuggingFace(sound, countedWeights(sound), { format: 'hf-vitmae' });

  it('gives every weight of ViTMAEModel, by its name and shape', () => {
    const shapes = Object.entries(tensors).map(([name, { shape }]) => [name, shape.join('x')]);
    const layer = (part: string): string => `vit.encoder.layer.0.${part}`;
    const linear = (name: string, shape: string, bias: string): [string, string][] => [
      [`${name}.weight`, shape],
      [`${name}.bias`, bias],
    ];
    expect(Object.fromEntries(shapes)).toEqual(
      Object.fromEntries([
        ['vit.embeddings.cls_token', '1x1x24'],
        ['vit.embeddings.position_embeddings', '1x65x24'],
        ...linear('vit.embeddings.patch_embeddings.projection', '24x1x8x8', '24'),
        ...['query', 'key', 'value'].flatMap((part) =>
          linear(layer(`attention.attention.${part}`), '24x24', '24'),
        ),
        ...linear(layer('attention.output.dense'), '24x24', '24'),
        ...linear(layer('layernorm_before'), '24', '24'),
        ...linear(layer('layernorm_after'), '24', '24'),
        ...linear(layer('intermediate.dense'), '96x24', '96'),
        ...linear(layer('output.dense'), '24x96', '24'),
        ...linear('vit.layernorm', '24', '24'),
      ]),
    );
    expect(config).toMatchObject({
      model_type: 'vit_mae',
      image_size: [64, 64],
      patch_size: 8,
      num_channels: 1,
      num_hidden_layers: 1,
      intermediate_size: 96,
      layer_norm_eps: 1e-6,
    });
    // `transformers` keeps int(tokens (1 - mask_ratio)) tokens: all of them.
    expect(Math.floor(64 * (1 - (config['mask_ratio'] as number)))).toBe(64);
  });

  it('keeps positions in a table whose first row, that of the class token, is zero', () => {
    const { data } = tensors['vit.embeddings.position_embeddings']!;
    const table = positionTable(sound, 'audio', 24);
    expect(data.slice(0, 24).every((x) => x === 0)).toBe(true);
    // The modality token, counted 0..23 here, is part of it.
    expect(data[24 + 5 * 24 + 7]).toBe(Math.fround(table[5 * 24 + 7]! + 7));
  });

  it('cuts the fused projection into queries, keys and values', () => {
    const attention = 'vit.encoder.layer.0.attention.attention';
    const first = ['query', 'key', 'value'].map((part) => [
      tensors[`${attention}.${part}.weight`]!.data[0],
      tensors[`${attention}.${part}.bias`]!.data[0],
    ]);
    expect(first).toEqual([
      [0, 0],
      [24 * 24, 24],
      [2 * 24 * 24, 48],
    ]);
  });
});

describe('toHuggingFace, hf-videomae', () => {
  const video = tiny({ audio: null, encoder: { ...encoder, depth: 1, positions: 'learned' } });
  const weights = {
    ...countedWeights(video),
    'video_encoder.positions': { shape: [1, 32, 24], data: videoMaePositions(32, 24) },
  };

  it('turns patch weights into a convolution over channel, frame, row and column', () => {
    const { tensors } = toHuggingFace(video, weights, { format: 'hf-videomae' });
    const { shape, data } = tensors['videomae.embeddings.patch_embeddings.projection.weight']!;
    expect(shape).toEqual([24, 3, 2, 8, 8]);
    const [out, channel, frame, row, column] = [5, 2, 1, 3, 6];
    const there = (((out * 3 + channel) * 2 + frame) * 8 + row) * 8 + column;
    expect(data[there]).toBe(out * 384 + ((frame * 8 + row) * 8 + column) * 3 + channel);
  });

  it('leaves the bias of keys out, and the last norm where the model has none', () => {
    const names = (finalNorm: boolean): string[] => {
      const config = defineModel({ ...video, encoder: { ...video.encoder, finalNorm } });
      const made = toHuggingFace(config, weights, { format: 'hf-videomae' });
      expect(made.config['use_mean_pooling']).toBe(!finalNorm);
      return Object.keys(made.tensors).filter((name) => /_bias|videomae\.layernorm/.test(name));
    };
    const layer = 'videomae.encoder.layer.0.attention.attention';
    const biases = [`${layer}.q_bias`, `${layer}.v_bias`];
    expect(names(false)).toEqual(biases);
    expect(names(true)).toEqual([
      ...biases,
      'videomae.layernorm.weight',
      'videomae.layernorm.bias',
    ]);
  });

  it('refuses positions that VideoMAE does not have', () => {
    const fixed = tiny({ audio: null });
    expect(() => toHuggingFace(fixed, countedWeights(fixed), { format: 'hf-videomae' })).toThrow(
      "toHuggingFace: hf-videomae: expected VideoMAE's positions, got others",
    );
  });
});

const fixture = (name: string): string =>
  new URL(`../../../../conformance/golden/fixtures/interop/${name}`, import.meta.url).pathname;

describe('toHuggingFace and convertForeign', () => {
  it('give a VideoMAE back, every tensor of its encoder to the last bit', async () => {
    const file = await readForeignFile(fixture('hf-videomae'));
    const { config, weights } = convertForeign(file);
    const made = toHuggingFace(config, weights, { format: 'hf-videomae' });
    const encoder = Object.entries(file.tensors).filter(([name]) => name.startsWith('videomae.'));
    expect(Object.keys(made.tensors).toSorted()).toEqual(encoder.map(([name]) => name).toSorted());
    for (const [name, { shape, data }] of encoder) {
      expect(made.tensors[name]).toEqual({ shape, data });
    }
    const sizes = ['hidden_size', 'num_attention_heads', 'num_hidden_layers', 'layer_norm_eps'];
    const grid = ['image_size', 'patch_size', 'num_frames', 'tubelet_size', 'use_mean_pooling'];
    for (const key of [...sizes, ...grid]) expect(made.config[key]).toBe(file.config![key]);
  });

  it('give a ViT-MAE back, as a model of one frame; the class token has its position in it', async () => {
    const file = await readForeignFile(fixture('hf-vitmae'));
    const { config, weights } = convertForeign(file);
    const made = toHuggingFace(config, weights, { format: 'hf-vitmae' });
    const table = 'vit.embeddings.position_embeddings';
    for (const [name, { shape, data }] of Object.entries(file.tensors)) {
      if (!name.startsWith('vit.') || name === 'vit.embeddings.cls_token') continue;
      const tensor = made.tensors[name]!;
      expect(tensor.shape).toEqual(shape);
      const from = name === table ? 16 : 0;
      expect(tensor.data.slice(from)).toEqual(data.slice(from));
    }
    const sum = (tensors: typeof made.tensors): number[] =>
      Array.from(tensors['vit.embeddings.cls_token']!.data, (x, i) =>
        Math.fround(x + tensors[table]!.data[i]!),
      );
    expect(sum(made.tensors)).toEqual(sum(file.tensors as typeof made.tensors));
  });

  it('give a model of sound back, its fixed positions as a table', () => {
    const config = tiny({
      encoder: { ...encoder, classToken: true, normEpsilon: 1e-5 },
      video: null,
    });
    const weights = countedWeights(config);
    const made = toHuggingFace(config, weights, { format: 'hf-vitmae' });
    const tensors = Object.entries(made.tensors).map(([name, tensor]) => [
      name,
      { dtype: 'F32', ...tensor },
    ]);
    const back = convertForeign({
      source: 'made',
      tensors: Object.fromEntries(tensors),
      config: made.config,
    });
    expect(back.config.audio).toEqual(config.audio);
    expect(back.config.encoder).toEqual({ ...config.encoder, positions: 'learned' });
    const { 'audio_encoder.positions': table, ...rest } = back.weights;
    expect(table!.data).toEqual(positionTable(config, 'audio', 24));
    for (const [name, { shape, data }] of Object.entries(rest)) {
      if (!name.startsWith('audio_encoder.')) continue;
      expect({ name, shape, data }).toEqual({ name, ...weights[name] });
    }
  });
});

describe('toHuggingFace', () => {
  it.each<[string, PartialModelConfig, Parameters<typeof toHuggingFace>[2]]>([
    ['hf-vitmae: expected encoder.classToken true, got false', {}, { format: 'hf-vitmae' }],
    [
      'hf-vitmae: expected encoder.finalNorm true, got false',
      { encoder: { ...encoder, classToken: true, finalNorm: false } },
      { format: 'hf-vitmae' },
    ],
    [
      'hf-vitmae: expected video of one frame, got video.frames 4',
      { encoder: { ...encoder, classToken: true } },
      { format: 'hf-vitmae', modality: 'video' },
    ],
    [
      'hf-videomae: expected a model with video, got video: null',
      { video: null },
      { format: 'hf-videomae' },
    ],
    [
      "hf-videomae: expected modality 'video', got 'audio'",
      {},
      { format: 'hf-videomae', modality: 'audio' },
    ],
    [
      'hf-videomae: expected encoder.classToken false, got true',
      { encoder: { ...encoder, classToken: true } },
      { format: 'hf-videomae' },
    ],
  ])('says what has no place: %s', (sentence, rest, options) => {
    const config = tiny(rest);
    expect(() => toHuggingFace(config, countedWeights(config), options)).toThrow(
      `toHuggingFace: ${sentence}`,
    );
  });

  it('names a weight that is missing', () => {
    const { 'audio_encoder.cls_token': _, ...rest } = countedWeights(sound);
    expect(() => toHuggingFace(sound, rest, { format: 'hf-vitmae' })).toThrow(
      'toHuggingFace: expected a weight named audio_encoder.cls_token, got none',
    );
  });
});
