// SPDX-License-Identifier: Apache-2.0
// Runs the cases of the family that are no training step, a teacher's features and classifiers, and compares them with PyTorch's.
import { disposeTree, valueAndGrads } from '@diffmavil/core';
import {
  type ClassifierInput,
  type Modality,
  type PartialModelConfig,
  type TargetsConfig,
  audioVideoClassifierForward,
  classifierForward,
  defineModel,
  modalities,
  teacherTargets,
} from '@diffmavil/model';
import { type Fixture, readFixture, readJsonFixture } from '@diffmavil/testkit';
import type { TracedTensor } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';
import { type Row, compare, familyFolder } from './trace-comparison.ts';

/** Features of every token, as a student learns them. */
export async function runTeacher(name: string): Promise<Row[]> {
  const { settings, given, expected } = read(`teacher-${name}`);
  const { teacher, targets } = settings as {
    readonly teacher: PartialModelConfig;
    readonly targets: TargetsConfig;
  };
  const config = defineModel(teacher);
  const student = defineModel({ ...teacher, targets });
  if (student.targets.kind !== 'teacher') throw new Error(`${name}: expected a teacher's targets`);
  const parameters = weightsOf(given);
  const patches = patchesOf(given, modalities(config));
  const features = teacherTargets({ config, parameters }, student.targets, patches);
  const results = Object.fromEntries(
    Object.entries(features).map(([m, tensor]) => [`${m}.features`, tensor]),
  );
  return compareAndDispose(results, expected, [parameters, patches]);
}

/** Logits, softmax cross-entropy and the gradient of every weight that is used. */
export async function runClassifier(name: string): Promise<Row[]> {
  const { settings, given, expected } = read(`classifier-${name}`);
  const { modality, classes, ...partial } = settings as PartialModelConfig & {
    readonly modality: ClassifierInput;
    readonly classes: number;
  };
  const config = defineModel(partial);
  const parameters = weightsOf(given);
  const patches = patchesOf(given, modality === 'both' ? modalities(config) : [modality]);
  const labels = given.tensor('labels');
  const { outputs, grads } = valueAndGrads(() => {
    const logits =
      modality === 'both'
        ? audioVideoClassifierForward(config, parameters, patches)
        : classifierForward(config, parameters, modality, patches[modality] as tf.Tensor);
    return { loss: crossEntropy(logits, labels, classes), logits };
  }, parameters);
  const gradients = Object.fromEntries(
    Object.entries(grads).map(([weight, grad]) => [`grad.${weight}`, grad]),
  );
  return compareAndDispose({ ...outputs, ...gradients }, expected, [parameters, patches, labels]);
}

interface FamilyCase {
  readonly settings: unknown;
  readonly given: Fixture;
  readonly expected: Fixture;
}

function read(name: string): FamilyCase {
  const at = `${familyFolder}/${name}`;
  return {
    settings: readJsonFixture(`${at}.config.json`),
    given: readFixture(`${at}.in.safetensors`),
    expected: readFixture(`${at}.out.safetensors`),
  };
}

function weightsOf(given: Fixture): Record<string, tf.Tensor> {
  const names = given.names.filter((name) => !name.endsWith('.patches') && name !== 'labels');
  return Object.fromEntries(names.map((name) => [name, given.tensor(name)]));
}

function patchesOf(
  given: Fixture,
  present: readonly Modality[],
): Partial<Record<Modality, tf.Tensor>> {
  return Object.fromEntries(present.map((m) => [m, given.tensor(`${m}.patches`)]));
}

/** Mean over the batch; logits [batch, classes], labels int32 [batch]. Not logSoftmax: it leaks a buffer on wasm. */
function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor, classes: number): tf.Scalar {
  const wanted = tf.cast(tf.oneHot(tf.cast(labels, 'int32'), classes), 'float32');
  const logs = tf.sub(logits, tf.logSumExp(logits, -1, true));
  return tf.neg(tf.mean(tf.sum(tf.mul(wanted, logs), -1)));
}

async function compareAndDispose(
  results: Readonly<Record<string, tf.Tensor>>,
  expected: Fixture,
  rest: unknown,
): Promise<Row[]> {
  const read: Record<string, TracedTensor> = {};
  for (const [name, tensor] of Object.entries(results)) {
    const data = Float32Array.from(await tensor.data());
    // A weight that is not used has gradient 0 here and none in PyTorch.
    if (!expected.names.includes(name) && data.every((x) => x === 0)) continue;
    read[name] = { dtype: 'F32', shape: tensor.shape, data };
  }
  disposeTree([rest, results]);
  return compare(read, expected);
}
