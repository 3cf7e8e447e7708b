// SPDX-License-Identifier: Apache-2.0
import { disposeTree, makeKey } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { windowAttention } from './audio-decoder.ts';
import { defineModel } from './config.ts';
import type { ModelConfig } from './config.ts';
import { encodeAudio, encodeVideo, meanPool } from './encoder.ts';
import { fuse } from './fusion.ts';
import { initializeParameters } from './parameters.ts';
import { presets } from './presets.ts';
import { testInputs } from './test-inputs.ts';

beforeAll(devices[0]!.use);
const config = presets.tiny;

describe('encode', () => {
  it('encodes all tokens in grid order, the same as an order that counts up', () => {
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const inputs = testInputs(config, 2, 1);
      const { patches } = inputs.video!;
      const all = encodeVideo(config, parameters, patches);
      expect(all.shape).toEqual([2, 32, 24]);
      const order = tf.tidy(() =>
        tf.tile(tf.reshape(tf.range(0, 32, 1, 'int32'), [1, 32]), [2, 1]),
      );
      const ordered = encodeVideo(config, parameters, patches, { order });
      expectClose(ordered, all, { nmse: 1e-12 });
      disposeTree([parameters, inputs, all, order, ordered]);
    });
  });

  it('does not see what is masked', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const inputs = testInputs(config, 1, 1);
    const { patches, order } = inputs.audio!;
    const shown = new Set([...order.dataSync()].slice(0, 12));
    const values = patches
      .dataSync()
      .map((x, i) => (shown.has(Math.floor(i / 64)) ? x : Number.NaN));
    const hidden = tf.tensor(values, patches.shape);
    const read = (from: tf.Tensor): Float32Array =>
      tf.tidy(() =>
        meanPool(config, encodeAudio(config, parameters, from, { order, visible: 12 }))
          .dataSync<'float32'>()
          .slice(),
      );
    expect(read(hidden)).toEqual(read(patches));
    disposeTree([parameters, inputs, hidden]);
  });

  it('refuses visible tokens without an order or beyond it, and patches of another model', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const inputs = testInputs(config, 1, 1);
    const { patches, order } = inputs.audio!;
    const run = (options: object, from: tf.Tensor = patches): (() => void) => {
      return () => encodeAudio(config, parameters, from, options).dispose();
    };
    expect(run({ visible: 3 })).toThrow(
      'encode: audio.order: expected an order to take 3 visible tokens from, got none',
    );
    expect(run({ order, visible: 65 })).toThrow(
      'encode: audio.order: expected 1..64 visible tokens, got 65',
    );
    expect(run({}, inputs.video!.patches)).toThrow(
      'encode: audio.patches: expected [batch, tokens = 64, patchValues = 64], got [1, 32, 384]',
    );
    disposeTree([parameters, inputs]);
  });
});

describe('fuse', () => {
  const tokens = (count: number): tf.Tensor3D => tf.ones([1, count, 24]);

  it('hands its input back when there is no fusion', () => {
    const given = { audio: tokens(3) };
    expect(fuse({ ...config, fusion: { ...config.fusion, kind: 'none' } }, {}, given)).toBe(given);
    disposeTree(given);
  });

  it('runs over the tokens of one modality when that is all there is', () => {
    expectNoLeak(() => {
      const parameters = initializeParameters(config, makeKey(1));
      const given = { video: tokens(5) };
      const fused = fuse(config, parameters, given);
      expect(Object.keys(fused)).toEqual(['video']);
      expect(fused.video!.shape).toEqual([1, 5, 24]);
      disposeTree([parameters, given, fused]);
    });
  });

  it('splits the modalities where they were joined', () => {
    const parameters = initializeParameters(config, makeKey(1));
    const given = { audio: tokens(3), video: tokens(5) };
    const fused = fuse(config, parameters, given);
    expect([fused.audio!.shape[1], fused.video!.shape[1]]).toEqual([3, 5]);
    disposeTree([parameters, given, fused]);
  });
});

describe('windowAttention', () => {
  const shiftOf = (model: ModelConfig, index: number): unknown => {
    const attention = windowAttention(model, index);
    return attention.kind === 'window' ? attention.shift : attention.kind;
  };

  it('shifts every second block', () => {
    expect([0, 1, 2, 3].map((index) => shiftOf(presets.base, index))).toEqual([
      [0, 0],
      [2, 2],
      [0, 0],
      [2, 2],
    ]);
  });

  it('does not shift along an axis that is one window long', () => {
    const narrow = defineModel({ audio: { mels: 64 } });
    expect(shiftOf(narrow, 1)).toEqual([2, 0]);
  });
});
