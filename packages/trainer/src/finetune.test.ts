// SPDX-License-Identifier: Apache-2.0
import { disposeTree, fold, makeKey } from '@diffmavil/core';
import { defineModel, initializeParameters, presets } from '@diffmavil/model';
import { expectNoLeak } from '@diffmavil/testkit';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { type FinetuneConfig, defineFinetune } from './config.ts';
import { classifierLoss, classifierTargets, targetRow } from './finetune-loss.ts';
import { visibleTokens } from './finetune-masking.ts';
import { classifierModel, initialWeights, layerScales } from './finetune-model.ts';
import { finetuneRecipes } from './recipes.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const both = (partial: object = {}): FinetuneConfig =>
  defineFinetune({ model: 'tiny', modality: 'both', ...partial });

describe('layerScales', () => {
  it('decays the learning rate from the head to the embeddings', () => {
    const names = [
      'audio_encoder.patch_embed.weight',
      'audio_encoder.cls_token',
      'audio_encoder.positions',
      'audio_encoder.blocks.0.norm1.weight',
      'audio_encoder.blocks.11.mlp.fc2.bias',
      'shared_encoder.blocks.2.mlp.fc2.bias',
      'audio_encoder.norm.weight',
      'audio_head.linear.weight',
    ];
    const scales = layerScales(names, presets.base, 0.75);
    // 0.75^13 = 0.0238 for embeddings, 0.75^(13 - (k + 1)) for block k, 1 for the rest, as in AudioMAE.
    expect(scales['audio_encoder.patch_embed.weight']).toBeCloseTo(0.0237573, 6);
    expect(scales['audio_encoder.cls_token']).toBeCloseTo(0.0237573, 6);
    expect(scales['audio_encoder.positions']).toBeCloseTo(0.0237573, 6);
    expect(scales['audio_encoder.blocks.0.norm1.weight']).toBeCloseTo(0.75 ** 12, 12);
    expect(scales['audio_encoder.blocks.11.mlp.fc2.bias']).toBeCloseTo(0.75, 12);
    expect(scales['shared_encoder.blocks.2.mlp.fc2.bias']).toBeCloseTo(0.75 ** 10, 12);
    expect(scales['audio_encoder.norm.weight']).toBe(1);
    expect(scales['audio_head.linear.weight']).toBe(1);
  });

  it('takes a joint fusion as near as the head, a bottleneck where its blocks came from, video slower', () => {
    const joint = layerScales(
      ['fusion.blocks.0.mlp.fc1.weight', 'video_encoder.blocks.1.mlp.fc1.weight'],
      classifierModel(both()),
      0.5,
      0.25,
    );
    expect(joint['fusion.blocks.0.mlp.fc1.weight']).toBe(1);
    // tiny: two blocks, so block 1 is one step from the head.
    expect(joint['video_encoder.blocks.1.mlp.fc1.weight']).toBe(0.5 * 0.25);
    const model = classifierModel(both({ fusion: { kind: 'bottleneck' } }));
    expect(model.encoder.depth).toBe(1);
    const scales = layerScales(
      [
        'audio_encoder.blocks.0.mlp.fc1.weight',
        'fusion.audio_blocks.0.mlp.fc1.weight',
        'fusion.video_blocks.0.mlp.fc1.weight',
        'fusion.bottleneck',
      ],
      model,
      0.5,
      0.25,
    );
    expect(Object.values(scales)).toEqual([0.25, 0.5, 0.125, 1]);
  });
});

describe('initialWeights', () => {
  const base = { config: presets.tiny, parameters: {} as Record<string, tf.Tensor> };
  beforeAll(() => {
    base.parameters = initializeParameters(presets.tiny, makeKey(7));
  });
  const same = (a: tf.Tensor, b: tf.Tensor): void => expect(a.dataSync()).toEqual(b.dataSync());

  it('keeps the encoders and draws three new blocks and the head', () => {
    expectNoLeak(() => {
      const weights = initialWeights(both(), 3, base);
      const block = 'audio_encoder.blocks.1.attn.qkv.weight';
      same(weights[block]!, base.parameters[block]!);
      expect(weights['fusion.blocks.2.norm1.weight']).toBeDefined();
      expect(weights['fusion.norm.weight']).toBeUndefined();
      // The model has one fusion block of its own, which is not used.
      expect(weights['fusion.blocks.0.attn.qkv.weight']!.dataSync()).not.toEqual(
        base.parameters['fusion.blocks.0.attn.qkv.weight']!.dataSync(),
      );
      expect(weights['av_head.linear.weight']!.shape).toEqual([3, 48]);
      disposeTree(weights);
    });
  });

  it('keeps the fusion when asked, and makes a bottleneck of the last blocks', () => {
    expectNoLeak(() => {
      const kept = initialWeights(both({ fusion: { kind: 'pretrained' } }), 3, base);
      const fused = 'fusion.blocks.0.attn.qkv.weight';
      same(kept[fused]!, base.parameters[fused]!);
      const made = initialWeights(
        both({ fusion: { kind: 'bottleneck', bottlenecks: 2 } }),
        3,
        base,
      );
      same(
        made['fusion.video_blocks.0.mlp.fc1.weight']!,
        base.parameters['video_encoder.blocks.1.mlp.fc1.weight']!,
      );
      expect(made['fusion.bottleneck']!.shape).toEqual([1, 2, 24]);
      disposeTree([kept, made]);
    });
  });

  it('draws everything without a base, by seed and name', () => {
    const first = initialWeights(both({ seed: 1 }), 3, null);
    const second = initialWeights(both({ seed: 1, fusion: { kind: 'joint', depth: 1 } }), 3, null);
    const name = 'fusion.blocks.0.mlp.fc2.weight';
    expect(first[name]!.dataSync()).toEqual(second[name]!.dataSync());
    disposeTree([first, second]);
  });

  it('does not start an encoder anew that the base lacks', () => {
    const parameters = Object.fromEntries(
      Object.entries(base.parameters).filter(([name]) => !name.startsWith('video_encoder.')),
    );
    expect(() => initialWeights(both(), 3, { ...base, parameters })).toThrow(
      'init: expected a weight video_encoder.patch_embed.weight, got none of that name',
    );
  });
});

describe('visibleTokens', () => {
  const keys = [0, 1].map((clip) => fold(makeKey(4), clip));

  it('keeps 51 of 64 time rows and 6 of 8 frequency columns, whole ones', () => {
    const masking = { time: 0.2, frequency: 0.2, video: 0 };
    const order = visibleTokens(presets.base, 'audio', masking, keys)!;
    expect(order.shape).toEqual([2, 306]);
    const clips = [...order.dataSync()];
    const first = clips.slice(0, 306);
    expect(new Set(first.map((token) => Math.floor(token / 8))).size).toBe(51);
    expect(new Set(first.map((token) => token % 8)).size).toBe(6);
    expect(new Set(first).size).toBe(306);
    expect(clips.slice(306)).not.toEqual(first);
    order.dispose();
  });

  it('keeps floor(0.8 N) tokens of the video, and all where nothing is to be hidden', () => {
    const order = visibleTokens(
      presets.base,
      'video',
      { time: 0, frequency: 0, video: 0.2 },
      keys,
    )!;
    // 1568 tokens: floor(1254.4).
    expect(order.shape).toEqual([2, 1254]);
    order.dispose();
    expect(
      visibleTokens(presets.base, 'video', { time: 0.2, frequency: 0, video: 0 }, keys),
    ).toBeNull();
    expect(
      visibleTokens(presets.base, 'audio', { time: 0, frequency: 0, video: 0.5 }, keys),
    ).toBeNull();
  });
});

describe('classifierLoss', () => {
  const clip = (...labels: string[]) => ({ id: 'x', path: 'x', labels, split: null });
  const labels = ['a', 'b', 'c', 'd'];

  it('adds up the labels of mixed clips, then smooths', () => {
    expect(targetRow({ clip: clip('b'), mix: null }, labels, 0)).toEqual([0, 1, 0, 0]);
    const mix = { clip: clip('b', 'c'), weight: 0.75 };
    expect(targetRow({ clip: clip('a', 'b'), mix }, labels, 0)).toEqual([0.75, 1, 0.25, 0]);
    expect(targetRow({ clip: clip('b'), mix: null }, labels, 0.4)).toEqual([0.1, 0.7, 0.1, 0.1]);
  });

  it('is the cross-entropy that the configuration names', () => {
    const value = (
      loss: 'softmax' | 'sigmoid' | null,
      task: 'single-label' | 'multi-label',
    ): number =>
      tf.tidy(() => {
        const logits = tf.tensor2d([[2, 0, 0, 0]]);
        const samples = [{ clip: clip('a'), mix: null }];
        const targets = classifierTargets(samples, labels, { labelSmoothing: 0 });
        return classifierLoss(logits, targets, { task, loss }).dataSync()[0]!;
      });
    const softmax = Math.log(Math.exp(2) + 3) - 2;
    const sigmoid = (Math.log(1 + Math.exp(-2)) + 3 * Math.log(2)) / 4;
    expect(value(null, 'single-label')).toBeCloseTo(softmax, 6);
    expect(value(null, 'multi-label')).toBeCloseTo(sigmoid, 6);
    expect(value('sigmoid', 'single-label')).toBeCloseTo(sigmoid, 6);
    expect(value('softmax', 'multi-label')).toBeCloseTo(softmax, 6);
  });
});

describe('defineFinetune', () => {
  it('reads a model of the modality, and fills the fusion', () => {
    const sound = defineModel({ ...presets.tiny, video: null });
    expect(() => defineFinetune({ model: sound, modality: 'both' })).toThrow(
      "fine-tune config: expected a model with video for modality 'both', got video: null",
    );
    expect(both().fusion).toEqual({ kind: 'joint', depth: 3 });
    expect(both({ fusion: { kind: 'bottleneck' } }).fusion).toEqual({
      kind: 'bottleneck',
      fusionLayer: null,
      bottlenecks: 4,
    });
    expect(() => both({ masking: { time: 1 } })).toThrow('fine-tune config: masking.time: ');
  });

  it('takes every recipe', () => {
    for (const recipe of Object.values(finetuneRecipes)) {
      expect(defineFinetune({ ...recipe, model: 'tiny' }).epochs).toBeGreaterThan(0);
    }
    // MAViL's printed base rates times batch / 256: 1e-3 x 64 / 256, 2e-4 x 512 / 256 [MAViL Table 10].
    const rate = (name: string): number =>
      defineFinetune({ ...finetuneRecipes[name], model: 'tiny' }).optimizer.learningRate;
    expect([rate('mavil-as-20k'), rate('mavil-as-2m')]).toEqual([2.5e-4, 4e-4]);
    expect(defineFinetune({ ...finetuneRecipes['mavil-vggsound'], model: 'tiny' })).toMatchObject({
      task: 'single-label',
      loss: 'sigmoid',
      balancedClasses: true,
      mixup: 0.5,
      masking: { time: 0.2, frequency: 0.2, video: 0.2 },
      augmentation: { roll: true, noise: true, specAugment: { time: 192, frequency: 48 } },
      optimizer: { weightDecay: 1e-5, learningRate: 2e-4, warmupEpochs: 4, layerDecay: 0.75 },
    });
  });
});
