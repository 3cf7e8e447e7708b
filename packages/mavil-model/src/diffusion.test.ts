// SPDX-License-Identifier: Apache-2.0
import { disposeTree, gatherTokens } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import { predictedFrames } from '@diffmavil/video-patchify';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel } from './config.ts';
import {
  alphaBarTable,
  diffuseMasked,
  predictedFrameInTubelet,
  targetPatches,
  targetRows,
} from './diffusion.ts';
import { presets } from './presets.ts';

beforeAll(devices[0]!.use);
const { masked: schedule } = presets.base;
if (schedule.kind !== 'diffused') throw new Error('expected the base preset to be diffused');

describe('alphaBarTable', () => {
  it("has the values of the paper's schedule, phi = 0.8, in float64 NumPy", () => {
    const table = alphaBarTable(schedule);
    expect(table).toHaveLength(1000);
    const values = [1, 10, 50, 100, 200, 300].map((t) => table[t - 1] ?? Number.NaN);
    const expected = [
      0.9993690427, 0.9896003822, 0.8802516146, 0.6601961155, 0.2475906853, 0.0570331,
    ];
    expectClose(values, expected, { maxAbs: 1e-10 });
  });
});

describe('diffuseMasked', () => {
  it('mixes each clip at its own timestep: sqrt(abar) x + sqrt(1 - abar) eps of the masked patches', () => {
    expectNoLeak(() => {
      const patches = tf.tensor3d([1, 2, 3, 4], [2, 2, 1]);
      const masked = tf.tensor2d([1, 0], [2, 1], 'int32');
      const noise = tf.tensor3d([0.5, -0.5], [2, 1, 1]);
      const timesteps = tf.tensor1d([1, 100], 'int32');
      const mixed = diffuseMasked(schedule, patches, masked, [1, 100], { values: noise });
      const looked = diffuseMasked(schedule, patches, masked, timesteps, { values: noise });
      const mix = (x: number, eps: number, abar: number): number =>
        Math.sqrt(abar) * x + Math.sqrt(1 - abar) * eps;
      expect(mixed.shape).toEqual([2, 1, 1]);
      expectClose(mixed, [mix(2, 0.5, 0.9993690427), mix(3, -0.5, 0.6601961155)], { maxAbs: 1e-6 });
      expect(looked.dataSync()).toEqual(mixed.dataSync());
      disposeTree([patches, masked, noise, timesteps, mixed, looked]);
    });
  });

  it('refuses timestep 0', () => {
    const patches = tf.zeros([1, 1, 1]);
    const masked = tf.zeros([1, 1], 'int32');
    expect(() => diffuseMasked(schedule, patches, masked, [0], { values: patches })).toThrow(
      'diffuse: expected timesteps 1..1000, got 0',
    );
    disposeTree([patches, masked]);
  });
});

describe('targetPatches', () => {
  it("keeps frame 0 of each tubelet but the last, as SpatiotemporalMAE's trunc(linspace(0, 15, 8))", () => {
    expect(predictedFrameInTubelet(16, 2)).toEqual([0, 0, 0, 0, 0, 0, 0, 1]);
    expect(predictedFrameInTubelet(9, 3)).toEqual([0, 1, 2]);
    expect(predictedFrameInTubelet(2, 2)).toEqual([0]);
  });

  it('agrees with video-patchify on which values those are', () => {
    const config = defineModel({
      audio: null,
      video: { frames: 6, size: 4, tubelet: 2, patch: 2, predictFrames: 3 },
    });
    const clips = Float32Array.from({ length: 2 * 12 * 24 }, (_, i) => i);
    const selected = expectNoLeak(() => {
      const patches = tf.tensor3d(clips, [2, 12, 24]);
      const targets = targetPatches(config, 'video', patches);
      expect(targets.shape).toEqual([2, 12, 12]);
      const values = targets.dataSync<'float32'>().slice();
      disposeTree([patches, targets]);
      return values;
    });
    const expected = [0, 1].flatMap((clip) => [
      ...predictedFrames(clips.slice(clip * 288, (clip + 1) * 288), {
        frames: 6,
        tubelet: 2,
        patch: 2,
        predictFrames: 3,
      }),
    ]);
    expect([...selected]).toEqual(expected);
  });

  it('are at `targetRows` among the patches: no copy of them is needed', () => {
    tf.tidy(() => {
      const video = { frames: 6, size: 4, tubelet: 2, patch: 2, predictFrames: 3 };
      const config = defineModel({ audio: null, video });
      const patches = tf.reshape(tf.range(0, 2 * 12 * 24), [2, 12, 24]);
      const masked = tf.tensor2d([11, 4, 0, 7, 8, 3], [2, 3], 'int32');
      const targets = targetRows(config, 'video', patches, masked);
      expect(targets.patches.dataId).toBe(patches.dataId);
      expect(targets.rows.dtype).toBe('int32');
      expect(gatherTokens(targets.patches, targets.rows).dataSync()).toEqual(
        gatherTokens(targetPatches(config, 'video', patches), masked).dataSync(),
      );
    });
  });

  it('are the patches themselves when every frame is predicted', () => {
    const patches = tf.zeros([1, 32, 384]);
    expect(targetPatches(presets.tiny, 'video', patches)).toBe(patches);
    patches.dispose();
  });
});
