// SPDX-License-Identifier: Apache-2.0
// Fine-tunes a sound classifier from a pre-trained model and measures it:
// npx tsx examples/finetune.ts PRETRAINED-MODEL CLIPS RUN [EPOCHS]
import '@tensorflow/tfjs-backend-cpu';
import { loadModelFolder } from '@diffmavil/model/node';
import { dataClips, defineFinetune, evaluateClassifier, finetune } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';

const [
  init = 'runs/example/model',
  data = 'data/demo',
  run = 'runs/example-finetune',
  epochs = '2',
] = process.argv.slice(2);
await tf.setBackend('cpu');

const { config: model, parameters } = await loadModelFolder(init);
tf.dispose(parameters);
const config = defineFinetune({
  model,
  epochs: Number(epochs),
  batch: { size: 4 },
  data: { trainSplits: ['train'] },
  optimizer: { learningRate: 1e-3, warmupEpochs: 0.5 },
});
const output = {
  isTerminal: process.stderr.isTTY,
  write: (text: string) => process.stderr.write(text),
};
await finetune({ config, init, data, run, resume: false, output });

const clips = dataClips({ data, splits: ['test'] });
const figures = await evaluateClassifier(`${run}/model`, {
  clips,
  workers: 1,
  cacheFolder: null,
  maxClipSeconds: 10,
  batch: 8,
  output,
});
console.log(`top-1 ${figures.top1} of ${figures.clips} clips, mAP ${figures.meanAveragePrecision}`);
