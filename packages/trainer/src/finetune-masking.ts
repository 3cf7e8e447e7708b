// SPDX-License-Identifier: Apache-2.0
// Masking while a classifier is trained [AudioMAE, MAViL App. B]: whole time rows and whole frequency columns of the spectrogram, each share by
// itself, and random tokens of the video. What is hidden is not encoded.
import { type Key, fold } from '@diffmavil/core';
import {
  type ClassifierInput,
  type Modality,
  type ModelConfig,
  maskOrder,
  tokenCount,
  tokenGrid,
  visibleCount,
} from '@diffmavil/model';
import * as tf from '@tensorflow/tfjs-core';
import type { FinetuneMaskingConfig } from './config.ts';

/** int32 `[clips, visible]`: the tokens to encode of each clip, by its key; null: all of them. The shares leave some (`defineFinetune`). */
export function visibleTokens(
  model: ModelConfig,
  modality: Modality,
  masking: FinetuneMaskingConfig,
  keys: readonly Key[],
): tf.Tensor2D | null {
  const { time, frequency, video } = masking;
  if (modality === 'audio' ? time === 0 && frequency === 0 : video === 0) return null;
  const grid = tokenGrid(model, modality);
  const rows = keys.map((key) =>
    modality === 'audio'
      ? keptOfGrid(grid, [time, frequency], key)
      : kept(tokenCount(model, 'video'), video, fold(key, 'tokens')),
  );
  return tf.tensor2d(rows, [keys.length, rows[0]!.length], 'int32');
}

/** What keeps `masking` from leaving a classifier of `modality` something to read: one clause per fault, each naming its key. */
export function finetuneMaskingFaults(
  model: ModelConfig,
  modality: ClassifierInput,
  { time, frequency, video }: FinetuneMaskingConfig,
): string[] {
  const shares: [name: string, count: number, share: number][] = [];
  if (modality !== 'video') {
    const [times = 1, bands = 1] = tokenGrid(model, 'audio');
    shares.push(['time', times, time], ['frequency', bands, frequency]);
  }
  if (modality !== 'audio') shares.push(['video', tokenCount(model, 'video'), video]);
  return shares
    .filter(([, count, share]) => visibleCount(count, share) < 1)
    .map(
      ([name, count, share]) =>
        `masking.${name}: expected a share that leaves one of ${count}, got ${share}`,
    );
}

/** Tokens whose time and frequency are both kept: 51 x 6 of 64 x 8 at 0.2 and 0.2. */
function keptOfGrid(
  [times = 1, bands = 1]: readonly number[],
  [time, frequency]: readonly [number, number],
  key: Key,
): number[] {
  const columns = kept(bands, frequency, fold(key, 'frequency'));
  return kept(times, time, fold(key, 'time')).flatMap((row) =>
    columns.map((column) => row * bands + column),
  );
}

/** floor(count (1 - share)) of 0..count-1, in rising order. */
function kept(count: number, share: number, key: Key): number[] {
  const visible = maskOrder(key, count).subarray(0, visibleCount(count, share));
  return [...visible].toSorted((a, b) => a - b);
}
