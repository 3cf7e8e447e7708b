// SPDX-License-Identifier: Apache-2.0
// The one error class of this package, and the checks every entry point shares.

/** What an {@link AudioError} is about: the recording, the sizes of an array, or an option. */
export type AudioErrorKind = 'Media' | 'Shape' | 'Config';

/**
 * Thrown for every expected failure of this package; one sentence, `<where>: expected <what>, got <value>`.
 * `kind` is `'Media'` when the recording cannot be used (too short, not finite, a bad sample rate),
 * `'Shape'` when an array does not have the stated size, `'Config'` when an option is out of range.
 */
export class AudioError extends Error {
  override readonly name = 'AudioError';
  readonly kind: AudioErrorKind;

  constructor(message: string, kind: AudioErrorKind = 'Media') {
    super(message);
    this.kind = kind;
  }
}

/** Mono samples in -1..1. float64 is accepted everywhere so that analysis can start from exact signals. */
export type Samples = Float32Array | Float64Array;

/** A stream of draws in [0, 1). Same key, same stream: the functions here never make their own randomness. */
export type Uniform = () => number;

/** Largest finite float32: beyond it the power of a frame could leave float64. */
const LARGEST_SAMPLE = 3.4028234663852886e38;

/** Checks that each sample is a finite number of float32 size. They are `offset`.. of a recording of `total`. */
export function checkSamples(
  samples: Float64Array,
  where: string,
  offset: number = 0,
  total: number = samples.length,
): void {
  for (let i = 0; i < samples.length; i++) {
    const sample = samples[i]!;
    if (!(Math.abs(sample) <= LARGEST_SAMPLE)) {
      throw new AudioError(
        `${where}: expected finite samples in -1..1, got ${sample} at sample ${offset + i} of ${total}. ` +
          'Try: decode the file again; skip the clip when it is damaged',
      );
    }
  }
}

/** Lowest and highest sample rate taken, in Hz. */
export const sampleRateLimits: readonly [number, number] = [1000, 768_000];

export function checkSampleRate(rate: number, where: string): void {
  const [lowest, highest] = sampleRateLimits;
  if (!Number.isInteger(rate) || rate < lowest || rate > highest) {
    throw new AudioError(
      `${where}: expected a whole number of Hz between ${lowest} and ${highest}, got ${rate}`,
    );
  }
}

/** Checks a whole number >= `least`, for counts and sizes. */
export function checkCount(value: number, least: number, where: string): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new AudioError(`${where}: expected a whole number >= ${least}, got ${value}`, 'Config');
  }
}

/** Checks a finite number. */
export function checkFinite(value: number, where: string): void {
  if (!Number.isFinite(value)) {
    throw new AudioError(`${where}: expected a finite number, got ${value}`, 'Config');
  }
}

/** Checks that an array holds as many values as its shape says. */
export function checkLength(
  values: { readonly length: number },
  shape: Readonly<Record<string, number>>,
  where: string,
): void {
  const names = Object.keys(shape).join(', ');
  const sizes = Object.values(shape);
  const expected = sizes.reduce((product, size) => product * size, 1);
  if (values.length !== expected) {
    throw new AudioError(
      `${where}: expected [${names}] = [${sizes.join(', ')}], ${expected} values, got ${values.length}`,
      'Shape',
    );
  }
}
