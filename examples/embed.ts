// SPDX-License-Identifier: Apache-2.0
// Embeds the sound and the picture of one clip: npx tsx examples/embed.ts MODEL CLIP
import '@tensorflow/tfjs-backend-cpu';
import { decodeClip } from '@diffmavil/media';
import { DiffMavil } from '@diffmavil/model/node';
import * as tf from '@tensorflow/tfjs-core';

const [folder = 'runs/example/model', clip = 'clip.mp4'] = process.argv.slice(2);
await tf.setBackend('cpu');

const model = await DiffMavil.fromPretrained(folder);
const { waveform, sampleRate, frames, frameRate } = await decodeClip(clip, { durationSeconds: 10 });
const sound = await model.embedAudio(waveform, sampleRate);
const picture = await model.embedVideo(frames, frameRate);
model.dispose();

const similarity = tf.tidy(() => tf.sum(tf.mul(unit(sound), unit(picture))).dataSync()[0]);
console.log(`${sound.length} numbers each, cosine similarity ${similarity}`);

function unit(vector: Float32Array): tf.Tensor1D {
  const x = tf.tensor1d(vector);
  return tf.div(x, tf.norm(x));
}
