// SPDX-License-Identifier: Apache-2.0
// From a clip's facts and the caller's wishes to exact counts and one ffmpeg command line. Pure.
//
// The grid: frame k shows what a player shows at `start + k / frameRate`, sample i is at `start + i / sampleRate`,
// both on the container's clock. Length L = the asked duration, cut at the earlier end of the streams asked for;
// frames = max(1, round(L * frameRate)), samples = max(1, round(L * sampleRate)).

import { checkNumber, MediaError, shown } from './media-error.ts';
import { endOf, type AudioInfo, type ClipInfo, type VideoInfo } from './probe-clip.ts';

export type Streams = 'both' | 'audio' | 'video';

export interface DecodeOptions {
  /** Seconds since the container's start, >= 0. Default 0. */
  readonly startSeconds?: number;
  /** Seconds, > 0. Default: to the end. A clip that ends earlier gives less. */
  readonly durationSeconds?: number;
  /** Frames per second of the result, 0.01..240. Default: the clip's own average rate. */
  readonly frameRate?: number;
  /** Pixels of the shorter side, aspect kept. Excludes `size`. Default: as shown by a player. */
  readonly shortSide?: number;
  /** Pixels of a square: shorter side scaled to it, centre cropped. Excludes `shortSide`. */
  readonly size?: number;
  /** Hz of the result, 1000..384000. Default: the clip's own. A WAV read for its sound alone keeps its own rate. */
  readonly sampleRate?: number;
  /** What to decode; the part not asked for comes back empty. Default `'both'`. */
  readonly streams?: Streams;
  /** Milliseconds for the whole call, default 120,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** The ffmpeg executable or its folder; see findFfmpeg. */
  readonly ffmpeg?: string;
  /** Upper bound of the decoded bytes held in memory. Default 2^30. */
  readonly maxBytes?: number;
  /** Decoder threads. Default 1: a loader runs several clips at once instead. */
  readonly threads?: number;
  /** What probeClip said about this file; saves the ffprobe process. */
  readonly info?: ClipInfo;
}

export interface VideoPlan {
  readonly width: number;
  readonly height: number;
  readonly frameRate: number;
  /** null: unknown until decoded. */
  readonly frames: number | null;
  /** Whether the stream itself, not only its container, says when it ends. */
  readonly endKnown: boolean;
}

export interface AudioPlan {
  readonly sampleRate: number;
  readonly samples: number | null;
  readonly endKnown: boolean;
}

export interface DecodePlan {
  readonly startSeconds: number;
  /** Length of the window; null: unknown until decoded. */
  readonly durationSeconds: number | null;
  readonly video: VideoPlan | null;
  readonly audio: AudioPlan | null;
  readonly arguments: readonly string[];
}

const defaultMaxBytes = 2 ** 30;
/** Codecs with memory (AAC overlap, MP3 bit reservoir, Opus) need this much before the first sample that counts. */
const prerollSeconds = 0.1;
/**
 * Containers with an index of key frames and exact times. Elsewhere a seek may land behind the asked time (MPEG-TS),
 * or lose track of it (Ogg, by 160 ms: measured with ffmpeg 5.1), so those are decoded from the start.
 */
const exactSeek = /^(mov|matroska),/;
/** Containers round times to a millisecond; a frame this late still belongs to its grid point. */
const graceMicroseconds = 2000;

/** @throws MediaError `bad-option`, all ranges in the message */
export function checkOptions(options: DecodeOptions): void {
  const where = 'decodeClip';
  const range = (name: keyof DecodeOptions, low: number, high: number, integer = false): void => {
    if (options[name] !== undefined)
      checkNumber(where, name, options[name], { low, high, integer });
  };
  range('startSeconds', 0, 1e9);
  range('durationSeconds', 1e-6, 1e9);
  range('frameRate', 0.01, 240);
  range('shortSide', 1, 8192, true);
  range('size', 1, 8192, true);
  range('sampleRate', 1000, 384_000, true);
  range('timeoutMs', 1, 2 ** 31 - 1);
  range('maxBytes', 1, 2 ** 32);
  range('threads', 1, 64, true);
  const { streams = 'both' } = options;
  if (!['both', 'audio', 'video'].includes(streams)) {
    const got = shown(streams);
    const message = `${where}: expected streams to be 'both', 'audio' or 'video', got ${got}.`;
    throw new MediaError('bad-option', '', message);
  }
  if (options.shortSide !== undefined && options.size !== undefined) {
    const message = `${where}: expected shortSide or size, got both.`;
    throw new MediaError('bad-option', '', message);
  }
}

/**
 * Counts and command line for one decode.
 * @throws MediaError `no-audio`, `no-video`, `too-short`, `too-large`
 */
export function planDecode(info: ClipInfo, options: DecodeOptions, soxr: boolean): DecodePlan {
  const { startSeconds = 0, streams = 'both', maxBytes = defaultMaxBytes } = options;
  const video = streams === 'audio' ? null : info.video;
  const audio = streams === 'video' ? null : info.audio;
  if (streams !== 'audio' && video === null) throw lacking('no-video', info);
  if (streams !== 'video' && audio === null) throw lacking('no-audio', info);

  const length = lengthOf(info, options, [video, audio]);
  const endKnown = (stream: VideoInfo | AudioInfo): boolean => stream.durationSeconds !== null;
  const videoPlan = video && { ...planPicture(video, options, length), endKnown: endKnown(video) };
  const audioPlan = audio && { ...planSound(audio, options, length), endKnown: endKnown(audio) };
  const bytes = bytesOf(videoPlan, audioPlan);
  if (bytes > maxBytes) throw tooLarge(info.path, `${bytes} bytes`, maxBytes);
  return {
    startSeconds,
    durationSeconds: length,
    video: videoPlan,
    audio: audioPlan,
    arguments: [
      ...inputArguments(info, startSeconds, options.threads ?? 1),
      ...(video && videoPlan ? videoArguments(video, videoPlan, options) : []),
      ...(audio && audioPlan ? audioArguments(audio, audioPlan, soxr) : []),
    ],
  };
}

export function tooLarge(path: string, got: string, maxBytes: number): MediaError {
  return new MediaError(
    'too-large',
    path,
    `decodeClip: expected at most ${maxBytes} decoded bytes of "${path}", got ${got}. ` +
      'Try: shortSide or size, a lower frameRate, durationSeconds, or a larger maxBytes.',
  );
}

function lacking(reason: 'no-audio' | 'no-video', info: ClipInfo): MediaError {
  const [what, has] = reason === 'no-audio' ? ['sound', 'video'] : ['pictures', 'audio'];
  return new MediaError(
    reason,
    info.path,
    `decodeClip: expected a clip with ${what} at "${info.path}", got none. Try: streams: '${has}'.`,
  );
}

/** Seconds from the start to the end of the window; null when nobody knows. */
function lengthOf(
  info: ClipInfo,
  { startSeconds = 0, durationSeconds = Infinity }: DecodeOptions,
  streams: readonly (VideoInfo | AudioInfo | null)[],
): number | null {
  const ends = streams
    .filter((stream) => stream !== null)
    .map((stream) => endOf(stream, info.containerSeconds))
    .filter((end) => end !== null);
  const end = Math.min(...ends);
  if (!(end - startSeconds > 1e-6)) {
    throw new MediaError(
      'too-short',
      info.path,
      `decodeClip: expected startSeconds before the end of "${info.path}" at ${end} s, got ${startSeconds}.`,
    );
  }
  const length = Math.min(end - startSeconds, durationSeconds);
  return length === Infinity ? null : length;
}

/** How many grid points of a rate fit into a length. */
export function countOf(seconds: number, rate: number): number {
  return Math.max(1, Math.round(seconds * rate));
}

function planPicture(
  info: VideoInfo,
  options: DecodeOptions,
  length: number | null,
): Omit<VideoPlan, 'endKnown'> {
  const frameRate = options.frameRate ?? Math.min(240, info.frameRate);
  const frames = length === null ? null : countOf(length, frameRate);
  const { size } = options;
  if (size !== undefined) return { width: size, height: size, frameRate, frames };
  return { ...scaledTo(options.shortSide, info), frameRate, frames };
}

function planSound(
  info: AudioInfo,
  options: DecodeOptions,
  length: number | null,
): Omit<AudioPlan, 'endKnown'> {
  const sampleRate = options.sampleRate ?? info.sampleRate;
  return { sampleRate, samples: length === null ? null : countOf(length, sampleRate) };
}

/** The picture with its shorter side at `shortSide`, the longer one rounded. */
function scaledTo(
  shortSide: number | undefined,
  { width, height }: { readonly width: number; readonly height: number },
): { width: number; height: number } {
  const factor = shortSide === undefined ? 1 : shortSide / Math.min(width, height);
  return { width: Math.round(width * factor), height: Math.round(height * factor) };
}

function bytesOf(video: VideoPlan | null, audio: AudioPlan | null): number {
  const picture = video === null ? 0 : (video.frames ?? 1) * video.width * video.height * 3;
  return picture + (audio === null ? 0 : (audio.samples ?? 1) * 4);
}

function inputArguments(info: ClipInfo, startSeconds: number, threads: number): string[] {
  // Seek a little early and shift the clock, so that time 0 of the filters is the asked start: frames and samples
  // before it are dropped there, exactly, after the decoders had their run-up.
  // ffmpeg counts from the container's very start, run-up included.
  const from = startSeconds + info.leadSeconds;
  const seek = exactSeek.test(info.container) ? Math.max(0, from - prerollSeconds) : 0;
  const shift = from - seek;
  return [
    ...words(`-nostdin -hide_banner -v repeat+error -filter_threads 1 -threads ${threads}`),
    ...words('-protocol_whitelist file'),
    ...words(seek > 0 ? `-noaccurate_seek -ss ${seek.toFixed(6)}` : ''),
    // The threshold: a shift beyond 10 s must not be taken for a broken clock and undone (Ogg, MPEG-TS).
    ...words(
      shift > 0
        ? `-dts_delta_threshold ${Math.ceil(shift) + 10} -itsoffset -${shift.toFixed(6)}`
        : '',
    ),
    '-i',
    `file:${info.path}`,
  ];
}

function videoArguments(info: VideoInfo, plan: VideoPlan, options: DecodeOptions): string[] {
  const { size } = options;
  const scaled = scaledTo(size ?? options.shortSide, info);
  const filters = [
    'settb=1/1000000',
    `setpts=PTS-${graceMicroseconds}`,
    `fps=fps=${plan.frameRate}:round=up:start_time=0`,
    ...(plan.frames === null ? [] : [`trim=end_frame=${plan.frames}`]),
    `scale=${scaled.width}:${scaled.height}:flags=bicubic`,
    'format=rgb24',
    ...(size === undefined ? [] : [`crop=${size}:${size}`]),
  ];
  const chain = filters.join(',');
  return words(`-map 0:${info.stream} -vf ${chain} -f rawvideo -pix_fmt rgb24 pipe:1`);
}

function audioArguments(info: AudioInfo, plan: AudioPlan, soxr: boolean): string[] {
  const filters = [
    'atrim=start=0',
    'aresample=async=1:first_pts=0:rematrix_maxval=1', // gaps and a late start become silence; mono is the mean
    'aformat=sample_fmts=fltp:channel_layouts=mono',
    `aresample=${plan.sampleRate}${soxr ? ':resampler=soxr:precision=28' : ':filter_size=64'}`,
    ...(plan.samples === null ? [] : [`atrim=end_sample=${plan.samples}`]),
  ];
  const chain = filters.join(',');
  return words(`-map 0:${info.stream} -af ${chain} -f f32le -c:a pcm_f32le pipe:3`);
}

/** A command line written as one would type it; nothing in it holds a space. */
function words(text: string): string[] {
  return text === '' ? [] : text.split(' ');
}
