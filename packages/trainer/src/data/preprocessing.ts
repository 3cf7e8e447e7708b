// SPDX-License-Identifier: Apache-2.0
// The preprocessor of a run: rates, sizes and the mean and deviation of the raw log-mel, measured on the training clips unless given.
// It is kept in the run folder, so that a resumed run and every later stage use the same figures.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { logMel, padOrCut } from '@diffmavil/audio-spectrogram';
import type { DecodedClip } from '@diffmavil/media';
import type { Preprocessor } from '@diffmavil/model';
import { imageNetMean, imageNetStd } from '@diffmavil/video-patchify';
import { writeFileAtomically } from '../atomic-folder.ts';
import type { FinetuneConfig, RunConfig } from '../config.ts';
import { type ProgressOutput, startProgress } from '../progress.ts';
import { openClip } from './clip-store.ts';
import type { ClipEntry } from './dataset.ts';
import { DataError } from './loader.ts';
import { decodeRequest } from './sample.ts';

/** Hz; the rate every log-mel of the field is made at. */
const sampleRate = 16_000;
/** Clips the statistics are measured on, the first of the data set. */
const measuredClips = 64;
/** Clips decoded at a time while measuring. */
const decodedTogether = 2;

interface Options {
  readonly config: RunConfig | FinetuneConfig;
  readonly clips: readonly ClipEntry[];
  readonly run: string;
  readonly output: ProgressOutput;
  /** Mean and deviation where the configuration has none; null: measured. Default null. */
  readonly scale?: { readonly mean: number; readonly std: number } | null;
}

/** Reads the run's preprocessor, or makes and keeps it. */
export async function buildPreprocessor(options: Options): Promise<Preprocessor> {
  const file = join(options.run, 'preprocessor.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Preprocessor;
  const { model, data } = options.config;
  const video =
    model.video === null
      ? null
      : {
          frames: model.video.frames,
          size: model.video.size,
          durationSeconds: data.videoSeconds,
          mean: imageNetMean,
          std: imageNetStd,
        };
  const shape =
    model.audio === null
      ? null
      : { sampleRate, mels: model.audio.mels, frames: model.audio.frames };
  const statistics =
    data.audioStatistics ??
    options.scale ??
    (shape === null ? null : await measure(options, shape, video));
  const audio =
    shape === null || statistics === null
      ? null
      : { ...shape, mean: statistics.mean, std: statistics.std };
  const preprocessor: Preprocessor = { audio, video, labels: null, task: null };
  mkdirSync(options.run, { recursive: true });
  writeFileAtomically(file, `${JSON.stringify(preprocessor, null, 2)}\n`);
  return preprocessor;
}

/** Of values of a log-mel. */
interface Sums {
  count: number;
  sum: number;
  squares: number;
}

type AudioShape = { readonly sampleRate: number; readonly mels: number; readonly frames: number };

async function measure(
  { config, clips, output }: Options,
  audio: AudioShape,
  video: Preprocessor['video'],
): Promise<{ mean: number; std: number }> {
  const { data, model } = config;
  const sample = clips.slice(0, measuredClips);
  // The request the loader will make, so that a cache folder serves both.
  const request = decodeRequest({
    model,
    preprocessor: { audio: { ...audio, mean: 0, std: 1 }, video },
    augmentation: null,
    sharedWindow: data.sharedWindow,
    maxClipSeconds: data.maxClipSeconds,
  });
  const sums: Sums = { count: 0, sum: 0, squares: 0 };
  const progress = startProgress(output, 'audio statistics', sample.length);
  for (let start = 0; start < sample.length; start += decodedTogether) {
    const group = sample.slice(start, start + decodedTogether);
    const opened = await Promise.allSettled(
      group.map((clip) => openClip(clip.path, request, data.cacheFolder)),
    );
    for (const result of opened) {
      // An unreadable clip is the loader's to report.
      if (result.status === 'fulfilled') addLogMel(sums, result.value, audio);
    }
    progress.update(Math.min(start + decodedTogether, sample.length));
  }
  progress.end();
  if (sums.count === 0) {
    throw new DataError(
      `data: expected a readable clip with sound among the first ${sample.length}, got none, the first ${clips[0]?.id}`,
    );
  }
  const mean = sums.sum / sums.count;
  return { mean, std: Math.sqrt(sums.squares / sums.count - mean * mean) };
}

/** Adds a clip's log-mel; nothing where it has no sound. */
function addLogMel(sums: Sums, clip: DecodedClip, { mels, frames }: AudioShape): void {
  let values: Float32Array;
  try {
    const { waveform, sampleRate: rate } = clip;
    values = padOrCut(logMel(waveform, { sampleRate: rate, mels }), frames).values;
  } catch {
    return;
  }
  for (const value of values) {
    sums.count++;
    sums.sum += value;
    sums.squares += value * value;
  }
}
