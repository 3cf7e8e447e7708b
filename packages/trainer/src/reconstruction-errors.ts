// SPDX-License-Identifier: Apache-2.0
// How far a reconstruction is off: over all hidden patches, in the units of the loss, and by frequency, in the units of the patches, which
// are the same for every model of the same input, so that models can be compared on the same clips and masks.
import { melToHz, hzToMel, unpatchify as unpatchifyAudio } from '@diffmavil/audio-spectrogram';
import {
  type Modality,
  type ModelConfig,
  type PatchReconstruction,
  type Preprocessor,
  targetPatchValues,
} from '@diffmavil/model';
import { unpatchify as unpatchifyVideo } from '@diffmavil/video-patchify';
import {
  type Field,
  columnBandEnergies,
  columnBands,
  cosineTransform,
  radialBandEnergies,
} from './band-errors.ts';

/**
 * What is predicted of each frequency band, low to high. All are sums of squares over the band, divided by the number of hidden values
 * (of the band, where the bands are of pitch).
 */
export interface BandFigures {
  /** Bounds of the bands, one more than bands: Hz, or shares of the Nyquist frequency, where 1 is two pixels a wave. */
  readonly edges: readonly number[];
  /** Error of the flat guess, the mean of the visible values: what there is to predict. */
  readonly flat: readonly number[];
  /** Error of the one-step prediction. */
  readonly oneStep: readonly number[];
  /** Error of the sample; null when there is none. */
  readonly sampled: readonly number[] | null;
  /** Power of the one-step prediction around the flat guess: as large as `flat` when it shows as much detail as the truth. */
  readonly oneStepPower: readonly number[];
  /** Power of the sample around the flat guess; null when there is none. */
  readonly sampledPower: readonly number[] | null;
}

/** Bands of one modality. */
export interface ModalityBands {
  /** Of the spectrogram, by pitch; null for pictures. */
  readonly pitch: BandFigures | null;
  /** By radial frequency: of the spectrogram, or of the frames, channels together. */
  readonly detail: BandFigures;
}

/** Mean squares over the values of hidden patches, in the units of the training loss. */
export interface MaskedError {
  /** Of the one-step prediction. */
  readonly mse: number;
  /** Of a flat guess to compare with: the mean of the visible values, or of the patch itself when targets are normalised. */
  readonly flatMse: number;
  /** Of the sampled row; null when there is none. */
  readonly sampledMse: number | null;
  /** The errors by frequency; where targets are not normalised, those of `detail` add up to the figures above. */
  readonly bands: ModalityBands;
}

/** Bands of radial frequency, and of pitch. */
const bandCount = 8;

/** Scores a one-step reconstruction, and a sample with the same mask if there is one. */
export function reconstructionError(
  config: ModelConfig,
  preprocessing: Pick<Preprocessor, 'audio'>,
  modality: Modality,
  made: PatchReconstruction,
  sample: PatchReconstruction | null,
): MaskedError {
  const layout = {
    values: targetPatchValues(config, modality),
    normalized: config.loss.normalizeTargets,
  };
  return {
    mse: maskedError(made, made.prediction, layout),
    flatMse: maskedError(made, flatGuess(made, layout), layout),
    sampledMse: sample === null ? null : maskedError(sample, sample.prediction, layout),
    bands: bandsOf(config, preprocessing, modality, made, sample),
  };
}

/** Values of a target patch, and whether the loss normalises targets. */
interface PatchLayout {
  readonly values: number;
  readonly normalized: boolean;
}

/** Mean square of `guess` - original over hidden patches; each patch in units of its own deviation when targets are normalised. */
function maskedError(
  { hidden, original }: PatchReconstruction,
  guess: Float32Array,
  { values, normalized }: PatchLayout,
): number {
  let sum = 0;
  for (const token of hidden) {
    const own = original.subarray(token * values, (token + 1) * values);
    const scale = normalized ? moments(own).variance : 1;
    for (const [i, value] of own.entries())
      sum += (guess[token * values + i]! - value) ** 2 / scale;
  }
  return sum / (hidden.length * values);
}

/** `original` with each hidden patch at one value: its own mean when targets are normalised, else the mean of all visible values. */
function flatGuess(
  { hidden, original }: PatchReconstruction,
  { values, normalized }: PatchLayout,
): Float32Array {
  const guess = original.slice();
  const covered = new Set(hidden);
  const visible = original.filter((_, i) => !covered.has(Math.floor(i / values)));
  const { mean } = moments(visible);
  for (const token of hidden) {
    const [start, end] = [token * values, (token + 1) * values];
    guess.fill(normalized ? moments(original.subarray(start, end)).mean : mean, start, end);
  }
  return guess;
}

/** Mean and unbiased variance, 1e-6 added as in the loss. */
function moments(values: Float32Array): { mean: number; variance: number } {
  let [sum, squares] = [0, 0];
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, variance: squares / Math.max(1, values.length - 1) + 1e-6 };
}

function bandsOf(
  config: ModelConfig,
  { audio }: Pick<Preprocessor, 'audio'>,
  modality: Modality,
  made: PatchReconstruction,
  sample: PatchReconstruction | null,
): ModalityBands {
  const values = targetPatchValues(config, modality);
  const flat = flatGuess(made, { values, normalized: false });
  const aroundFlat = (patches: Float32Array): Field[] =>
    fields(
      config,
      modality,
      patches.map((value, i) => value - flat[i]!),
    );
  const truth = aroundFlat(made.original);
  const oneStep = aroundFlat(made.prediction);
  const sampled = sample && aroundFlat(sample.prediction);

  // The transform is linear, so differences may be taken after it.
  const spectra = (of: readonly Field[]): Field[] => of.map(cosineTransform);
  const hidden = made.hidden.length * values;
  const detail = bandFigures(
    Array.from({ length: bandCount + 1 }, (_, i) => i / bandCount),
    { truth: spectra(truth), oneStep: spectra(oneStep), sampled: sampled && spectra(sampled) },
    (of) => total(of, (field) => radialBandEnergies(field, bandCount)).map((sum) => sum / hidden),
  );
  if (modality === 'video' || audio === null) return { pitch: null, detail };

  const columns = columnBands(audio.mels, bandCount);
  const rows = (of: readonly Field[]): number[] =>
    total(of, (field) => columnBandEnergies(field, columns));
  const covered = rows(hiddenFields(config, made, values));
  const pitch = bandFigures(hertz(columns, audio), { truth, oneStep, sampled }, (of) =>
    rows(of).map((sum, i) => sum / Math.max(1, covered[i]!)),
  );
  return { pitch, detail };
}

/** Fields around the flat guess, or their spectra. */
interface FieldSets {
  readonly truth: readonly Field[];
  readonly oneStep: readonly Field[];
  readonly sampled: readonly Field[] | null;
}

function bandFigures(
  edges: readonly number[],
  { truth, oneStep, sampled }: FieldSets,
  energies: (of: readonly Field[]) => readonly number[],
): BandFigures {
  const off = (guess: readonly Field[]): Field[] =>
    guess.map(({ values, rows, columns }, i) => {
      const own = truth[i]!.values;
      const difference = Float64Array.from(values, (value, j) => value - own[j]!);
      return { values: difference, rows, columns };
    });
  return {
    edges,
    flat: energies(truth),
    oneStep: energies(off(oneStep)),
    sampled: sampled && energies(off(sampled)),
    oneStepPower: energies(oneStep),
    sampledPower: sampled && energies(sampled),
  };
}

/** Lower bounds in Hz of the mel columns `columns`, and the upper bound of the last. */
function hertz(
  columns: readonly number[],
  { mels, sampleRate }: { readonly mels: number; readonly sampleRate: number },
): number[] {
  // Kaldi's filters: peaks at equal steps on the mel scale from 20 Hz to the Nyquist frequency; a bound lies between two peaks.
  const [low, high] = [hzToMel(20), hzToMel(sampleRate / 2)];
  return columns.map((column) =>
    Math.round(melToHz(low + ((column + 0.5) * (high - low)) / (mels + 1))),
  );
}

/** 1 at hidden values, 0 elsewhere, as fields. */
function hiddenFields(
  config: ModelConfig,
  { hidden, original }: PatchReconstruction,
  values: number,
): Field[] {
  const marks = new Float32Array(original.length);
  for (const token of hidden) marks.fill(1, token * values, (token + 1) * values);
  return fields(config, 'audio', marks);
}

/** Target patches `[tokens, values]` as fields: the spectrogram `[frames, mels]`, or each channel of each frame `[size, size]`. */
function fields(config: ModelConfig, modality: Modality, patches: Float32Array): Field[] {
  if (modality === 'audio') {
    const { frames, mels, patch } = config.audio!;
    const values = unpatchifyAudio(patches, { frames, mels, patch });
    return [{ values, rows: frames, columns: mels }];
  }
  const { frames, size, tubelet, patch, predictFrames } = config.video!;
  const grid = { frames: predictFrames, size, tubelet: (tubelet * predictFrames) / frames, patch };
  const pixels = unpatchifyVideo(patches, grid);
  const plane = size * size;
  return Array.from({ length: predictFrames * 3 }, (_, i) => {
    const start = Math.floor(i / 3) * plane * 3 + (i % 3);
    const values = Float32Array.from({ length: plane }, (_unused, j) => pixels[start + j * 3]!);
    return { values, rows: size, columns: size };
  });
}

function total(of: readonly Field[], energies: (field: Field) => Float64Array): number[] {
  const all = of.map(energies);
  return Array.from(all[0]!, (_, band) => all.reduce((sum, one) => sum + one[band]!, 0));
}
