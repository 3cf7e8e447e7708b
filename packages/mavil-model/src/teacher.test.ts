// SPDX-License-Identifier: Apache-2.0
import { disposeTree, makeKey, valueAndGrads } from '@diffmavil/core';
import { devices, expectClose, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { defineModel, tokenCount } from './config.ts';
import type { PartialModelConfig, TargetsConfig } from './config.ts';
import { mapPresent } from './fusion.ts';
import { pretrainForward } from './mavil.ts';
import { initializeParameters } from './parameters.ts';
import { presets } from './presets.ts';
import { checkTeacher, teacherTargets } from './teacher.ts';
import type { Teacher } from './teacher.ts';
import { testInputs } from './test-inputs.ts';

type TeacherTargets = Extract<TargetsConfig, { kind: 'teacher' }>;

const tiny = JSON.parse(JSON.stringify(presets.tiny)) as PartialModelConfig;
const targets: TeacherTargets = {
  kind: 'teacher',
  width: 24,
  features: 'fusion',
  normalize: true,
};
const student = defineModel({ ...tiny, masked: { kind: 'mask-token' }, targets });

function teacher(): Teacher {
  return { config: presets.tiny, parameters: initializeParameters(presets.tiny, makeKey(5)) };
}

const largest = (tensor: tf.Tensor | undefined): number =>
  Math.max(...(tensor as tf.Tensor).dataSync().map(Math.abs));

describe.each(devices)('a teacher on $name', (device) => {
  beforeAll(device.use);

  it('gives one normalised token for each token of the complete clips', () => {
    expectNoLeak(() => {
      const frozen = teacher();
      const given = testInputs(presets.tiny, 2, 1);
      const features = teacherTargets(
        frozen,
        targets,
        mapPresent(given, (own) => own.patches),
      );
      for (const modality of ['audio', 'video'] as const) {
        const tokens = features[modality] as tf.Tensor3D;
        expect(tokens.shape).toEqual([2, tokenCount(presets.tiny, modality), 24]);
        tf.tidy(() => {
          const { mean, variance } = tf.moments(tokens, -1);
          expectClose(mean, tf.zerosLike(mean), { maxAbs: 1e-5 });
          expectClose(variance, tf.onesLike(variance), { maxAbs: 1e-4 });
        });
      }
      disposeTree([frozen.parameters, given, features]);
    });
  });

  it('is a constant to the student: nothing of its pass is kept, its weights get no gradient', () => {
    expectNoLeak(() => {
      const frozen = teacher();
      const parameters = initializeParameters(student, makeKey(6));
      const given = testInputs(student, 2, 1);
      const patches = mapPresent(given, (own) => own.patches);
      const differentiated: Record<string, tf.Tensor> = {
        ...parameters,
        teacher: frozen.parameters['fusion.norm.weight'] as tf.Tensor,
      };
      let kept = -1;
      const { outputs, grads } = valueAndGrads(() => {
        const before = tf.memory().numTensors;
        const learned = teacherTargets(frozen, targets, patches);
        kept = tf.memory().numTensors - before;
        const inputs = mapPresent(given, (own, m) => ({
          ...own,
          targets: learned[m] as tf.Tensor,
        }));
        return pretrainForward(student, parameters, inputs, 0.8);
      }, differentiated);
      expect(kept).toBe(2);
      expect(largest(grads['teacher'])).toBe(0);
      expect(largest(grads['audio_decoder.head.weight'])).toBeGreaterThan(0);
      disposeTree([frozen.parameters, parameters, given, outputs, grads]);
    });
  });
});

describe('checkTeacher', () => {
  it('accepts the model a student was made for', () => {
    expect(() => checkTeacher(presets['mavil-v1-stage2'], presets['mavil-v1'])).not.toThrow();
    const oneFramePerTubelet = defineModel({ ...tiny, video: { ...tiny.video, predictFrames: 2 } });
    expect(() => checkTeacher(student, oneFramePerTubelet)).not.toThrow();
  });

  it.each<[string, PartialModelConfig, string]>([
    ['of one modality', { ...tiny, video: null }, 'video: null in the teacher'],
    [
      'of longer sound',
      { ...tiny, audio: { frames: 128, mels: 64, patch: 8 } },
      "audio.frames: 128 for the student's 64",
    ],
    [
      'of the same grid from larger patches',
      { ...tiny, video: { frames: 4, size: 64, tubelet: 2, patch: 16 } },
      "video.size: 64 for the student's 32; video.patch: 16 for the student's 8",
    ],
    [
      'of another width',
      { ...tiny, encoder: { ...tiny.encoder, width: 48 } },
      'encoder.width: 48 for targets.width 24',
    ],
  ])('refuses one %s', (_, config, fault) => {
    expect(() => checkTeacher(student, defineModel(config))).toThrow(
      `teacher: expected one that fits the student, got ${fault}`,
    );
  });

  it('refuses a student that predicts patches', () => {
    expect(() => checkTeacher(presets.tiny, presets.tiny)).toThrow(
      "teacher: expected a student with targets.kind 'teacher', got 'patches'",
    );
  });
});
