// SPDX-License-Identifier: Apache-2.0
// The one error class of this package. Every message is one sentence:
// `<where>: expected <what>, got <value>`, then `Try: …` when we know.

/** Why a clip was refused. Stable words: logs and manifests may group by them. */
export type MediaReason =
  | 'missing' // no such file
  | 'directory' // a folder where a file was expected
  | 'unreadable' // the file system refuses to open it
  | 'empty' // zero bytes
  | 'not-media' // text, a still picture, random bytes: nothing ffmpeg (or the WAV reader) plays
  | 'truncated' // a known container that is cut short or damaged: pictures or samples are missing
  | 'no-audio' // sound was asked for, there is none
  | 'no-video' // pictures were asked for, there are none
  | 'too-short' // the asked start lies behind the end, or not even one frame or sample fits
  | 'too-large' // more decoded bytes than `maxBytes`
  | 'bad-option' // an option outside its range
  | 'timeout' // not done within `timeoutMs`
  | 'aborted' // the AbortSignal fired
  | 'killed' // somebody else (often the kernel, out of memory) ended ffmpeg
  | 'ffmpeg-missing' // no ffmpeg or ffprobe to run
  | 'ffmpeg-failed'; // ffmpeg ran and could not write what was asked (demo clips only)

export class MediaError extends Error {
  override readonly name = 'MediaError';
  readonly kind = 'Media' as const;
  /** The file the error is about; empty when there is none (bytes, options). */
  readonly path: string;
  readonly reason: MediaReason;

  constructor(reason: MediaReason, path: string, message: string) {
    super(message);
    this.path = path;
    this.reason = reason;
  }
}

/** The value as an error sentence shows it: strings quoted, NaN and Infinity by name. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  if (typeof value === 'function') return 'a function';
  return JSON.stringify(value) ?? typeof value;
}

/** Throws `bad-option` unless `value` is a finite number with `low <= value <= high`. */
export function checkNumber(
  where: string,
  name: string,
  value: unknown,
  range: { low: number; high: number; integer?: boolean },
): void {
  const { low, high, integer = false } = range;
  const fits =
    typeof value === 'number' &&
    Number.isFinite(value) &&
    value >= low &&
    value <= high &&
    (!integer || Number.isInteger(value));
  if (fits) return;
  const what = integer ? 'an integer' : 'a number';
  throw new MediaError(
    'bad-option',
    '',
    `${where}: expected ${name} to be ${what} from ${low} to ${high}, got ${shown(value)}.`,
  );
}
