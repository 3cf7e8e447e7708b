// SPDX-License-Identifier: Apache-2.0
// Pre-trains DiffMAViL on a folder of clips: npx tsx examples/pretrain.ts CLIPS RUN [EPOCHS]
// What a run is: a configuration, a folder of clips, a folder for the results. Everything else has a default.
import '@tensorflow/tfjs-backend-cpu';
import { defineRun, pretrain } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';

const [data = 'data/demo', run = 'runs/example', epochs = '2'] = process.argv.slice(2);
await tf.setBackend('cpu');

const config = defineRun({
  model: 'tiny',
  epochs: Number(epochs),
  batch: { size: 4, adaptive: true },
  masking: { kind: 'linear', start: 0.9, end: 0.8 },
  optimizer: { learningRate: 1e-3, warmupEpochs: 0.5 },
});
const output = {
  isTerminal: process.stderr.isTTY,
  write: (text: string) => process.stderr.write(text),
};
const { steps, badClips } = await pretrain({ config, data, run, resume: false, output });

console.log(
  `${steps} steps, ${Object.keys(badClips).length} unreadable clips, model in ${run}/model`,
);
