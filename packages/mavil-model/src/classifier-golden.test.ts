// SPDX-License-Identifier: Apache-2.0
// Every classifier against PyTorch: logits, loss and gradients (conformance/golden/family_trace.py).
import { disposeTree, valueAndGrads } from '@diffmavil/core';
import {
  devices,
  expectClose,
  expectNoLeak,
  readFixture,
  readJsonFixture,
} from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

import { audioVideoClassifierForward, classifierForward } from './classifier.ts';
import { defineModel } from './config.ts';
import type { PartialModelConfig } from './config.ts';
import { classifierShapes } from './parameters.ts';
import type { ClassifierInput } from './parameter-entries.ts';

type Settings = PartialModelConfig & {
  readonly modality: ClassifierInput;
  readonly classes: number;
};

const cases = [
  'audio',
  'video',
  'shared-encoder',
  'both-joint',
  'both-bottleneck',
  'both-norms',
] as const;

function compare(name: (typeof cases)[number], checkpointing: boolean): void {
  const { modality, classes, ...partial } = readJsonFixture(
    `family/classifier-${name}.config.json`,
  ) as Settings;
  const config = defineModel(partial);
  const given = readFixture(`family/classifier-${name}.in.safetensors`);
  const expected = readFixture(`family/classifier-${name}.out.safetensors`);
  const names = Object.keys(classifierShapes(config, modality, classes));
  const parameters = Object.fromEntries(names.map((weight) => [weight, given.tensor(weight)]));
  const patches = Object.fromEntries(
    (['audio', 'video'] as const)
      .filter((m) => given.names.includes(`${m}.patches`))
      .map((m) => [m, given.tensor(`${m}.patches`)]),
  );
  const target = tf.tidy(() => tf.oneHot(given.tensor('labels') as tf.Tensor1D, classes));
  const { outputs, grads } = valueAndGrads(() => {
    const logits =
      modality === 'both'
        ? audioVideoClassifierForward(config, parameters, patches, { checkpointing })
        : classifierForward(config, parameters, modality, patches[modality]!, { checkpointing });
    const likelihood = tf.sub(logits, tf.logSumExp(logits, -1, true));
    return { loss: tf.neg(tf.mean(tf.sum(tf.mul(target, likelihood), -1))), logits };
  }, parameters);
  expectClose(outputs.logits, expected.get('logits').data, { nmse: 1e-10 });
  expectClose(outputs.loss, expected.get('loss').data, { maxRel: 1e-5 });
  const compared = expected.names.filter((weight) => weight.startsWith('grad.'));
  for (const weight of compared) {
    const golden = expected.get(weight).data;
    const size = Math.max(...Array.from(golden, Math.abs));
    // A relative norm of 1e-4; a key bias has a gradient of nought, of which float32 leaves 1e-6.
    const gradient = grads[weight.slice('grad.'.length)]!;
    expectClose(gradient, golden, size > 1e-6 ? { nmse: 1e-8 } : { maxAbs: 1e-6 });
  }
  const unused = names.filter((weight) => !compared.includes(`grad.${weight}`));
  for (const weight of unused) expect(weight).toMatch(/_encoder\.norm\./);
  disposeTree([outputs, grads, parameters, patches, target]);
}

describe.each(devices)('classifiers on $name', ({ use }) => {
  it.each(cases)('agree with PyTorch: %s', async (name) => {
    await use();
    expectNoLeak(() => compare(name, false));
    expectNoLeak(() => compare(name, true));
  });
});
