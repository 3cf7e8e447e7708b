// SPDX-License-Identifier: Apache-2.0
// Finds each clip's video by its sound alone: npx tsx examples/retrieve.ts MODEL CLIPS [SPLIT]
import '@tensorflow/tfjs-backend-cpu';
import { audioToVideoRetrieval, dataClips, embedClips } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';

const [folder = 'runs/example/model', data = 'data/demo', split] = process.argv.slice(2);
await tf.setBackend('cpu');

const clips = dataClips({ data, splits: split === undefined ? null : [split] });
const output = {
  isTerminal: process.stderr.isTTY,
  write: (text: string) => process.stderr.write(text),
};
const { embeddings } = await embedClips(folder, {
  clips,
  workers: 1,
  cacheFolder: null,
  maxClipSeconds: 10,
  batch: 8,
  output,
});
const { recallAt1, medianRank, chance } = audioToVideoRetrieval(embeddings);
console.log(
  `R@1 ${recallAt1} (chance ${chance}), median rank ${medianRank} of ${embeddings.length}`,
);
