// SPDX-License-Identifier: Apache-2.0
// The picture of a reconstruction: original, masked, predicted, one row each; frames side by side, the spectrogram below, and the errors
// by frequency under each.
import { denormalize, unpatchify as unpatchifyAudio } from '@diffmavil/audio-spectrogram';
import {
  type Modality,
  type ModelConfig,
  type PatchReconstruction,
  type Preprocessor,
  tokenCount,
} from '@diffmavil/model';
import { denormalizeFrames, unpatchify as unpatchifyVideo } from '@diffmavil/video-patchify';
import { bandCharts } from './band-chart.ts';
import {
  type GridRow,
  type GridSection,
  type Picture,
  composeGrid,
  enlarge,
  framePicture,
  spectrogramPicture,
} from './picture.ts';
import type { ModalityBands } from './reconstruction-errors.ts';

/** A row of target patches `[tokens, values]`; `hidden` lists the tokens to draw grey. */
export interface PatchRow {
  readonly label: readonly string[];
  readonly patches: Float32Array;
  readonly hidden?: Int32Array;
}

/** What is drawn: the rows of each modality at hand. */
export interface ReconstructionRows {
  readonly audio?: readonly PatchRow[];
  readonly video?: readonly PatchRow[];
}

/** Rows `original`, `masked`, and one per prediction. Predictions keep the visible patches. */
export function patchRows(
  { original, hidden }: PatchReconstruction,
  maskedLabel: readonly string[],
  predictions: readonly { readonly label: readonly string[]; readonly patches: Float32Array }[],
): PatchRow[] {
  return [
    { label: ['original'], patches: original },
    { label: maskedLabel, patches: original, hidden },
    ...predictions,
  ];
}

type Preprocessing = Pick<Preprocessor, 'audio' | 'video'>;

/** Pixels that the frames of a row, or a spectrogram, should at least come near; pictures grow by whole factors only. */
const wantedWidth = 960;
/** Pixels that a frame does not grow beyond. */
const mostFrameSize = 256;
const mostFrames = 8;
const wantedSpectrogramHeight = 128;
const grey = 150;

/** Draws the rows of both modalities, video above, each with the charts of its bands if there are any. */
export function reconstructionPicture(
  config: ModelConfig,
  preprocessing: Preprocessing,
  { audio, video }: ReconstructionRows,
  bands: { readonly audio?: ModalityBands; readonly video?: ModalityBands } = {},
): Picture {
  return composeGrid([
    ...(video === undefined ? [] : [videoSection(config, preprocessing, video)]),
    ...(bands.video === undefined ? [] : [bandSection('video', bands.video)]),
    ...(audio === undefined ? [] : [audioSection(config, preprocessing, audio)]),
    ...(bands.audio === undefined ? [] : [bandSection('sound', bands.audio)]),
  ]);
}

function bandSection(name: string, bands: ModalityBands): GridSection {
  return { heading: `${name}: hidden patches by frequency`, rows: bandCharts(bands) };
}

function videoSection(
  config: ModelConfig,
  preprocessing: Preprocessing,
  rows: readonly PatchRow[],
): GridSection {
  const { frames, size, tubelet, patch, predictFrames } = config.video!;
  const { mean, std, durationSeconds } = preprocessing.video!;
  const grid = { frames: predictFrames, size, tubelet: (tubelet * predictFrames) / frames, patch };
  const shown = evenly(predictFrames, mostFrames);
  const wanted = Math.round(wantedWidth / (shown.length * size));
  const factor = Math.max(1, Math.min(wanted, Math.floor(mostFrameSize / size)));
  const cellsOf = ({ patches, hidden }: PatchRow): Picture[] => {
    const pixels = denormalizeFrames(unpatchifyVideo(patches, grid), mean, std);
    if (hidden !== undefined) {
      const covered = unpatchifyVideo(marks(patches.length, config, 'video', hidden), grid);
      for (let i = 0; i < pixels.length; i++) if (covered[i] === 1) pixels[i] = grey;
    }
    return shown.map((frame) => enlarge(framePicture(pixels, size, frame), factor));
  };
  const count =
    shown.length < predictFrames ? `${shown.length} of ${predictFrames}` : predictFrames;
  return {
    heading: `video: ${count} ${predictFrames === 1 ? 'frame' : 'frames'} of ${durationSeconds} s`,
    rows: rows.map((row): GridRow => ({ label: row.label, cells: cellsOf(row) })),
  };
}

function audioSection(
  config: ModelConfig,
  preprocessing: Preprocessing,
  rows: readonly PatchRow[],
): GridSection {
  const { frames, mels, patch } = config.audio!;
  const { mean, std } = preprocessing.audio!;
  const grid = { frames, mels, patch };
  const across = Math.max(1, Math.round(wantedWidth / frames));
  const down = Math.max(1, Math.round(wantedSpectrogramHeight / mels));
  const spectrogram = (patches: Float32Array): Float32Array =>
    denormalize(unpatchifyAudio(patches, grid), mean, std);
  const [low, high] = middleRange(spectrogram(rows[0]!.patches));
  const draw = ({ patches, hidden }: PatchRow): Picture => {
    const view = { values: spectrogram(patches), frames, mels, low, high };
    const picture = spectrogramPicture(view);
    if (hidden !== undefined) {
      const covered = unpatchifyAudio(marks(patches.length, config, 'audio', hidden), grid);
      for (let i = 0; i < covered.length; i++) {
        if (covered[i] !== 1) continue;
        const [frame, mel] = [Math.floor(i / mels), i % mels];
        const at = ((mels - 1 - mel) * frames + frame) * 3;
        picture.data.fill(grey, at, at + 3);
      }
    }
    return enlarge(picture, across, down);
  };
  return {
    heading: `sound: ${frames / 100} s in ${mels} mel bands, low ones at the bottom`,
    rows: rows.map((row): GridRow => ({ label: row.label, cells: [draw(row)] })),
  };
}

/** Patches `[tokens, values]` that are 1 at hidden tokens and 0 elsewhere. */
function marks(
  length: number,
  config: ModelConfig,
  modality: Modality,
  hidden: Int32Array,
): Float32Array {
  const values = length / tokenCount(config, modality);
  const result = new Float32Array(length);
  for (const token of hidden) result.fill(1, token * values, (token + 1) * values);
  return result;
}

/** Indices 0..count-1, at most `most` of them, spread evenly. */
function evenly(count: number, most: number): number[] {
  const kept = Math.min(count, most);
  return Array.from({ length: kept }, (_, i) => Math.floor((i * count) / kept));
}

/** The 1st and 99th percentile: a single click does not darken the rest. */
function middleRange(values: Float32Array): [low: number, high: number] {
  const sorted = values.toSorted();
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))]!;
  return [at(0.01), at(0.99)];
}
