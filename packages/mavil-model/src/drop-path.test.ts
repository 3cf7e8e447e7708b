// SPDX-License-Identifier: Apache-2.0
import { disposeTree, fold, makeKey, uniforms } from '@diffmavil/core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import type * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import type { BranchScales } from './blocks.ts';
import { defineModel } from './config.ts';
import type { FusionConfig } from './config.ts';
import { classifierDrops, dropPathRates } from './drop-path.ts';
import type { ClassifierDrops } from './drop-path.ts';
import { presets } from './presets.ts';

beforeAll(devices[0]!.use);

const keys = Array.from({ length: 40 }, (_, clip) => fold(makeKey(5), clip));
const modelOf = (fusion: Partial<FusionConfig>) => defineModel({ ...presets.tiny, fusion });

type Factors = readonly (readonly number[])[];

/** Attention and MLP of each block in turn. */
const valuesOf = (blocks: readonly BranchScales[] | undefined): Factors =>
  (blocks ?? []).flatMap(({ attention, mlp }) =>
    [attention, mlp].map((factors: tf.Tensor) => [...factors.dataSync()]),
  );

/** 0 for a clip whose draw is below the block's rate, else 1 / (1 - rate), in float32. */
function expected(rates: readonly number[], ...purpose: string[]): Factors {
  const draws = keys.map((key) => uniforms(fold(key, ...purpose, 'drop-path'), 2 * rates.length));
  return rates
    .flatMap((rate) => [rate, rate])
    .map((rate, i) => draws.map((own) => (own[i]! < rate ? 0 : Math.fround(1 / (1 - rate)))));
}

/** All that is drawn, by place; the tensors are disposed. */
function drawn(drops: ClassifierDrops | null): Record<string, Factors> {
  const { encoders, fusion } = drops!;
  const values = Object.entries({ encoders, fusion }).flatMap(([part, stacks]) =>
    Object.entries(stacks).map(([m, blocks]) => [`${part}.${m}`, valuesOf(blocks)] as const),
  );
  disposeTree(drops);
  return Object.fromEntries(values);
}

describe('classifierDrops', () => {
  // The encoders of tiny have two blocks.
  it('rises over one encoder, each branch of a clip with a draw of its own', () => {
    expectNoLeak(() => {
      const factors = drawn(classifierDrops(presets.tiny, 'video', 0.5, keys));
      expect(factors).toEqual({ 'encoders.video': expected([0, 0.5]) });
      const [first, , attention, mlp] = factors['encoders.video']!;
      expect(new Set(first)).toEqual(new Set([1]));
      expect(new Set(attention)).toEqual(new Set([0, 2]));
      expect(attention).not.toEqual(mlp);
    });
  });

  it.each(['joint', 'modality-norms'] as const)(
    'takes the full rate in all blocks of a fusion over both: %s',
    (kind) => {
      expect(drawn(classifierDrops(modelOf({ kind, depth: 2 }), 'both', 0.25, keys))).toEqual({
        'encoders.audio': expected([0, 0.25], 'audio'),
        'encoders.video': expected([0, 0.25], 'video'),
        'fusion.audio': expected([0.25, 0.25], 'fusion', 'audio'),
      });
    },
  );

  it('goes on rising through a bottleneck, which drops each modality by itself', () => {
    const model = modelOf({ kind: 'bottleneck', depth: 1 });
    expect(drawn(classifierDrops(model, 'both', 0.5, keys))).toEqual({
      'encoders.audio': expected([0, 0.25], 'audio'),
      'encoders.video': expected([0, 0.25], 'video'),
      'fusion.audio': expected([0.5], 'fusion', 'audio'),
      'fusion.video': expected([0.5], 'fusion', 'video'),
    });
  });

  it('draws for the encoders alone where there is no fusion', () => {
    expect(
      Object.keys(drawn(classifierDrops(modelOf({ kind: 'none' }), 'both', 0.5, keys))),
    ).toEqual(['encoders.audio', 'encoders.video']);
  });

  it('is null with rate 0, and refuses one outside its range', () => {
    expect(classifierDrops(presets.tiny, 'audio', 0, [])).toBeNull();
    for (const rate of [1, -0.1, NaN]) {
      expect(() => classifierDrops(presets.tiny, 'audio', rate, keys)).toThrow(
        `classifierDrops: expected a rate in [0, 1), got ${rate}`,
      );
    }
  });
});

describe('dropPathRates', () => {
  it('rises linearly from 0 to the rate', () => {
    expect(dropPathRates(3, 0.5)).toEqual([0, 0.25, 0.5]);
    expect(dropPathRates(1, 0.5)).toEqual([0.5]);
  });
});
