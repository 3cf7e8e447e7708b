// SPDX-License-Identifier: Apache-2.0
// Names what is heard with a classifier from Hugging Face: npx tsx examples/from-hugging-face.ts FOLDER CLIP
// FOLDER has the config.json and model.safetensors of an Audio Spectrogram Transformer, such as ast-finetuned-audioset.
import '@tensorflow/tfjs-backend-wasm';
import { decodeClip } from '@diffmavil/media';
import { DiffMavil } from '@diffmavil/model/node';
import * as tf from '@tensorflow/tfjs-core';

const [folder = 'ast-finetuned-audioset', clip = 'clip.mp4'] = process.argv.slice(2);
await tf.setBackend('wasm');

const model = await DiffMavil.fromPretrained(folder);
const { waveform, sampleRate } = await decodeClip(clip, { durationSeconds: 10, streams: 'audio' });
for (const { label, score } of await model.classify({ waveform, sampleRate }, { top: 5 })) {
  console.log(`${score.toFixed(3)}  ${label}`);
}
model.dispose();
