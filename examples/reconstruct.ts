// SPDX-License-Identifier: Apache-2.0
// Hides 80 % of a clip's patches and lets the model fill them in: npx tsx examples/reconstruct.ts MODEL CLIP
// `diffmavil reconstruct` draws the result; this shows the numbers behind the picture.
import '@tensorflow/tfjs-backend-cpu';
import { decodeClip } from '@diffmavil/media';
import { DiffMavil } from '@diffmavil/model/node';
import * as tf from '@tensorflow/tfjs-core';

const [folder = 'runs/example/model', clip = 'clip.mp4'] = process.argv.slice(2);
await tf.setBackend('cpu');

const model = await DiffMavil.fromPretrained(folder);
const decoded = await decodeClip(clip, { durationSeconds: 10 });
const { audio, video } = await model.reconstruct(decoded, { maskRatio: 0.8, seed: 1 });
model.dispose();

for (const [name, result] of Object.entries({ audio, video })) {
  if (result === undefined) continue;
  const error = squaredError(result.prediction, result.original);
  const untouched = squaredError(result.masked, result.original);
  console.log(
    `${name}: squared error ${(error / untouched).toFixed(3)} of leaving the patches hidden`,
  );
}

function squaredError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < actual.length; i++) sum += (actual[i]! - expected[i]!) ** 2;
  return sum;
}
