// SPDX-License-Identifier: Apache-2.0
// Kaldi's mel filters: triangles with equal spacing and straight sides on the mel scale, no area
// normalisation. Stored sparse, since each FFT bin touches at most two filters.
import { AudioError, checkCount, checkFinite, checkSampleRate } from './errors.ts';

/** Settings of {@link melFilterBank}. */
export interface MelFilterOptions {
  /** Sample rate in Hz; default 16000. */
  readonly sampleRate?: number;
  /** Number of filters; default 128. */
  readonly mels?: number;
  /** FFT length in samples, a power of two; default 512. */
  readonly fftSize?: number;
  /** Lower edge of the first filter in Hz; default 20. */
  readonly lowFrequency?: number;
  /** Upper edge of the last filter in Hz; 0 or less counts from the Nyquist frequency; default 0. */
  readonly highFrequency?: number;
}

/** A bank of `mels` triangular filters over FFT bins 0..fftSize/2 - 1 (the Nyquist bin has weight 0). */
export interface MelFilterBank {
  readonly mels: number;
  /** Centre of each filter in Hz, [mels]. */
  readonly centreFrequencies: Float64Array;
  /** Filter m covers FFT bins `firstBins[m]` .. `firstBins[m] + offsets[m + 1] - offsets[m] - 1`, [mels]. */
  readonly firstBins: Int32Array;
  /** Where the weights of filter m start in `weights`, [mels + 1]. An empty filter has equal neighbours. */
  readonly offsets: Int32Array;
  /** Weights in 0..1, filter after filter. */
  readonly weights: Float64Array;
}

/** Hz -> mel, Kaldi's form: 1127 ln(1 + f / 700). */
export function hzToMel(hertz: number): number {
  return 1127 * Math.log(1 + hertz / 700);
}

/** mel -> Hz, the inverse of {@link hzToMel}. */
export function melToHz(mel: number): number {
  return 700 * (Math.exp(mel / 1127) - 1);
}

function checkEdges(low: number, high: number, nyquist: number, where: string): void {
  checkFinite(low, `${where}: lowFrequency`);
  checkFinite(high, `${where}: highFrequency`);
  if (low < 0 || high > nyquist || low >= high) {
    throw new AudioError(
      `${where}: expected 0 <= lowFrequency < highFrequency <= ${nyquist} Hz, got ${low} and ${high}`,
      'Config',
    );
  }
}

/**
 * The Kaldi mel filter bank [torchaudio compliance.kaldi get_mel_banks, htk scale]. With the default settings filter 3
 * lies between two FFT bins and is empty, so its log-mel is the floor in every frame.
 * Throws {@link AudioError}: kind `'Media'` for a bad sample rate, `'Config'` for the rest.
 */
export function melFilterBank(options: MelFilterOptions = {}): MelFilterBank {
  const { sampleRate = 16_000, mels = 128, fftSize = 512 } = options;
  const { lowFrequency = 20, highFrequency = 0 } = options;
  const where = 'melFilterBank';
  checkSampleRate(sampleRate, `${where}: sampleRate`);
  checkCount(mels, 1, `${where}: mels`);
  checkCount(fftSize, 4, `${where}: fftSize`);
  if (!Number.isInteger(Math.log2(fftSize))) {
    throw new AudioError(`${where}: fftSize: expected a power of two, got ${fftSize}`, 'Config');
  }
  const nyquist = sampleRate / 2;
  const high = highFrequency > 0 ? highFrequency : nyquist + highFrequency;
  checkEdges(lowFrequency, high, nyquist, where);

  const lowMel = hzToMel(lowFrequency);
  const spacing = (hzToMel(high) - lowMel) / (mels + 1);
  const binMels = Float64Array.from({ length: fftSize / 2 }, (_, bin) =>
    hzToMel((bin * sampleRate) / fftSize),
  );
  const centreFrequencies = new Float64Array(mels);
  const firstBins = new Int32Array(mels);
  const offsets = new Int32Array(mels + 1);
  const weights: number[] = [];
  for (let m = 0; m < mels; m++) {
    const left = lowMel + m * spacing;
    const centre = lowMel + (m + 1) * spacing;
    const right = lowMel + (m + 2) * spacing;
    centreFrequencies[m] = melToHz(centre);
    for (let bin = 0; bin < binMels.length; bin++) {
      const mel = binMels[bin]!;
      const weight = Math.min((mel - left) / (centre - left), (right - mel) / (right - centre));
      if (weight <= 0) continue;
      if (weights.length === offsets[m]) firstBins[m] = bin;
      weights.push(weight);
    }
    offsets[m + 1] = weights.length;
  }
  return { mels, centreFrequencies, firstBins, offsets, weights: Float64Array.from(weights) };
}
