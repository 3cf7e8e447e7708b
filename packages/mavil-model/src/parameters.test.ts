// SPDX-License-Identifier: Apache-2.0
import { disposeTree, makeKey } from '@diffmavil/core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel } from './config.ts';
import {
  checkParameterShapes,
  classifierShapes,
  initializeHead,
  initializeParameters,
  parameterCount,
  parameterShapes,
} from './parameters.ts';
import { presets } from './presets.ts';

beforeAll(devices[0]!.use);

describe('parameter counts of the paper', () => {
  const r2 = presets['paper-r2'];

  // 12 blocks of 7,087,872, a patch embedding and a LayerNorm of 1,536.
  it('are 85,253,376 and 86,236,416 in the encoders', () => {
    expect(parameterCount(r2, 'audio_encoder')).toBe(85_253_376);
    expect(parameterCount(r2, 'video_encoder')).toBe(86_236_416);
  });

  it('are 2 x 7,087,872 + 1,536 in the fusion', () => {
    expect(parameterCount(r2, 'fusion')).toBe(14_177_280);
  });

  it('are 8 x 3,152,384 and the ends in a self-attention video decoder with a mask token', () => {
    const ends = 768 * 512 + 512 + 2 * 512 + 512 * 768 + 768 + 512;
    expect(parameterCount(presets['paper-mavil'], 'video_decoder')).toBe(8 * 3_152_384 + ends);
  });

  it('grow by 131,584 and 393,728 less a mask token when patches are diffused', () => {
    const grown = (module: string): number =>
      parameterCount(presets['paper-r1'], module) - parameterCount(presets['paper-mavil'], module);
    expect([grown('audio_decoder'), grown('video_decoder')]).toEqual([
      131_584 - 512,
      393_728 - 512,
    ]);
  });

  it('have 49 x 16 position biases in each window block, and one more LayerNorm for cross-attention', () => {
    const global = defineModel({ ...r2, decoder: { audioAttention: 'global' } });
    const windows = parameterCount(r2, 'audio_decoder') - parameterCount(global, 'audio_decoder');
    expect(windows).toBe(8 * 49 * 16);
    const cross =
      parameterCount(r2, 'video_decoder') - parameterCount(presets['paper-r1'], 'video_decoder');
    expect(cross).toBe(2 * 512);
  });

  it('sum to 76,092 in the tiny preset', () => {
    expect(parameterCount(presets.tiny)).toBe(76_092);
  });
});

describe('parameterShapes', () => {
  it("uses PyTorch's names and layout", () => {
    const shapes = parameterShapes(presets.tiny);
    expect(shapes['audio_encoder.patch_embed.weight']).toEqual([24, 64]);
    expect(shapes['video_encoder.blocks.1.attn.qkv.weight']).toEqual([72, 24]);
    expect(shapes['fusion.norm.bias']).toEqual([24]);
    expect(shapes['audio_decoder.blocks.0.rel_bias']).toEqual([49, 2]);
    expect(shapes['video_decoder.blocks.0.attn.kv.weight']).toEqual([32, 16]);
    expect(shapes['video_decoder.noised_embed.weight']).toEqual([16, 384]);
    expect(shapes['video_decoder.head.weight']).toEqual([384, 16]);
  });

  it('has a class and a mask token where they are asked for', () => {
    const shapes = parameterShapes(presets['mavil-v1']);
    expect(shapes['audio_encoder.cls_token']).toEqual([1, 1, 768]);
    expect(shapes['video_decoder.mask_token']).toEqual([1, 1, 512]);
    expect(
      Object.keys(shapes).filter((name) =>
        /noised_embed|encoder\.norm|fusion\.norm|rel_bias/.test(name),
      ),
    ).toEqual([]);
  });

  it('describes a classifier: 85,659,407 weights of AudioMAE on AudioSet, and the norm it leaves unused', () => {
    const shapes = Object.values(classifierShapes(presets.audiomae, 'audio', 527));
    const count = shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(85_659_407 + 2 * 768);
  });
});

describe('initializeParameters', () => {
  it('draws xavier-uniform matrices, zero biases, unit norms and tokens of deviation 0.02', () => {
    expectNoLeak(() => {
      const config = defineModel({ ...presets.tiny, masked: { kind: 'mask-token' } });
      const drawn = initializeParameters(config, makeKey(1));
      const read = (name: string): number[] => [...drawn[name]!.dataSync()];
      const rms = (values: number[]): number => Math.hypot(...values) / Math.sqrt(values.length);
      const qkv = read('audio_encoder.blocks.0.attn.qkv.weight');
      const bound = Math.sqrt(6 / (4 * 24));
      expect(Math.max(...qkv.map(Math.abs))).toBeLessThanOrEqual(bound);
      expect(rms(qkv)).toBeCloseTo(bound / Math.sqrt(3), 2);
      expect(new Set(read('audio_encoder.blocks.0.attn.qkv.bias'))).toEqual(new Set([0]));
      expect(new Set(read('fusion.norm.weight'))).toEqual(new Set([1]));
      expect(rms(read('video_decoder.mask_token'))).toBeGreaterThan(0.01);
      expect(rms(read('video_decoder.mask_token'))).toBeLessThan(0.03);
      disposeTree(drawn);
    });
  });

  it('gives a weight the same values whatever else the model has', () => {
    const name = 'audio_encoder.blocks.0.mlp.fc1.weight';
    const both = initializeParameters(presets.tiny, makeKey(7));
    const alone = initializeParameters(defineModel({ ...presets.tiny, video: null }), makeKey(7));
    expect(both[name]!.dataSync()).toEqual(alone[name]!.dataSync());
    disposeTree([both, alone]);
  });

  it('draws heads of deviation 2e-5', () => {
    const head = initializeHead(presets.tiny, 'audio', 50, makeKey(1));
    const values = [...head['audio_head.linear.weight']!.dataSync()];
    const deviation = Math.hypot(...values) / Math.sqrt(values.length);
    // 1200 draws: a tenth is five standard errors.
    expect(Math.abs(deviation / 2e-5 - 1)).toBeLessThan(0.1);
    disposeTree(head);
  });

  it('refuses a head without classes', () => {
    expect(() => initializeHead(presets.tiny, 'audio', 0, makeKey(1))).toThrow(
      'classifier: expected a whole number of classes from 1, got 0',
    );
  });
});

describe('checkParameterShapes', () => {
  const shapes = (names: (name: string) => boolean): Record<string, { shape: number[] }> =>
    Object.fromEntries(
      Object.entries(parameterShapes(presets.tiny))
        .filter(([name]) => names(name))
        .map(([name, shape]) => [name, { shape }]),
    );
  const where = 'model.safetensors';

  it('takes all modules or some, each whole', () => {
    expect(() =>
      checkParameterShapes(
        presets.tiny,
        shapes(() => true),
        { where },
      ),
    ).not.toThrow();
    const encoder = shapes((name) => name.startsWith('audio_encoder.'));
    expect(() => checkParameterShapes(presets.tiny, encoder, { where })).not.toThrow();
  });

  it('names what is missing, unknown and misshapen', () => {
    const given = {
      ...shapes((name) => !name.startsWith('fusion.norm')),
      'audio_encoder.extra': { shape: [1] },
      'fusion.blocks.0.norm1.bias': { shape: [3] },
    };
    expect(() => checkParameterShapes(presets.tiny, given, { where })).toThrow(
      'model.safetensors: expected the weights of this model, got missing fusion.norm.weight, fusion.norm.bias; ' +
        'unknown audio_encoder.extra; fusion.blocks.0.norm1.bias of shape [3] instead of [24]. ' +
        'Try: the config.json that was saved with these weights',
    );
  });

  it('refuses weights without an encoder', () => {
    expect(() => checkParameterShapes(presets.tiny, {}, { where })).toThrow(
      'model.safetensors: expected the weights of an encoder, got none',
    );
  });
});
