// SPDX-License-Identifier: Apache-2.0
// The one error class of this package and the checks that throw it. A message is one sentence,
// `<where>: expected <what>, got <value>`, then `Try: …` when there is something to try.

/** `Shape`: an array, size or option does not fit; `Media`: the clip itself cannot be sampled. */
export type VideoErrorKind = 'Shape' | 'Media';

/** Thrown for every input this package refuses. */
export class VideoError extends Error {
  override readonly name: string = 'VideoError';
  readonly kind: VideoErrorKind;

  constructor(kind: VideoErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Throws unless every named value is an integer >= 1. */
export function checkCounts(where: string, counts: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new VideoError(
        'Shape',
        `${where}: expected ${name} to be an integer >= 1, got ${value}`,
      );
    }
  }
}

/** Throws unless `whole` is a multiple of `part`; both are named for the message. */
export function checkMultiple(
  where: string,
  [wholeName, whole]: readonly [string, number],
  [partName, part]: readonly [string, number],
): void {
  if (whole % part !== 0) {
    throw new VideoError(
      'Shape',
      `${where}: expected ${wholeName} to be a multiple of ${partName} ${part}, got ${whole}`,
    );
  }
}

/** Throws unless `length` is the product of the named sizes, e.g. `{frames: 2, size: 8}`. */
export function checkLength(
  where: string,
  length: number,
  sizes: readonly (readonly [name: string, size: number])[],
): void {
  const expected = sizes.reduce((product, [, size]) => product * size, 1);
  if (length !== expected) {
    const names = sizes.map(([name]) => name).join(', ');
    const values = sizes.map(([, size]) => size).join(', ');
    throw new VideoError(
      'Shape',
      `${where}: expected [${names}] = [${values}] (${expected} values), got ${length} values`,
    );
  }
}

/** Throws unless `value` is a draw in [0, 1). */
export function checkUniform(where: string, name: string, value: number): void {
  if (!(value >= 0 && value < 1)) {
    throw new VideoError('Shape', `${where}: expected ${name} in [0, 1), got ${value}`);
  }
}
