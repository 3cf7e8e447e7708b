// SPDX-License-Identifier: Apache-2.0
// What a clip holds, by ffprobe: one picture stream, one sound stream, their clocks. Times are seconds since the
// container's start, the clock that decodeClip cuts by.

import { findFfmpeg } from './find-ffmpeg.ts';
import { inspectFile, refused, type FileFacts } from './inspect-file.ts';
import { checkNumber, MediaError } from './media-error.ts';
import { runProgram, type ProgramEnd } from './run-program.ts';

export interface VideoInfo {
  /** Index of the stream in the file. */
  readonly stream: number;
  readonly codec: string;
  /** Pixels as shown: after rotation, and with pixels made square where they are more than 1 % off it. */
  readonly width: number;
  readonly height: number;
  /** Clockwise turn that the file asks for; `width` and `height` already include it. */
  readonly rotation: 0 | 90 | 180 | 270;
  /** Frames per second, average. 25 where the file does not say. */
  readonly frameRate: number;
  /** When the first frame is shown. */
  readonly startSeconds: number;
  /** null where the container does not say it for this stream. */
  readonly durationSeconds: number | null;
}

export interface AudioInfo {
  readonly stream: number;
  readonly codec: string;
  /** Hz. */
  readonly sampleRate: number;
  readonly channels: number;
  readonly startSeconds: number;
  readonly durationSeconds: number | null;
}

export interface ClipInfo {
  readonly path: string;
  /** ffmpeg's name of the container, e.g. `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly container: string;
  readonly sizeBytes: number;
  /** What the container says about itself, the longest of everything inside; null when it says nothing. */
  readonly containerSeconds: number | null;
  /** Seconds of decoder run-up (Opus, AAC) that the container counts before its time 0; the clock starts after them. */
  readonly leadSeconds: number;
  /** From 0 to the earlier end of sound and picture: what decodeClip returns for both. null when unknown. */
  readonly durationSeconds: number | null;
  readonly video: VideoInfo | null;
  readonly audio: AudioInfo | null;
}

export interface ProbeOptions {
  /** The ffmpeg executable or its folder; see findFfmpeg. */
  readonly ffmpeg?: string;
  /** Milliseconds, default 30,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Formats that ffprobe accepts and that are no clips: text as teletype art, playlists, still pictures. */
const refusedFormats =
  /^(tty|hls|dash|concat|concatf|image2|ico|.*_pipe|srt|ass|webvtt|lrc|ffmetadata)$/;
const maxProbeBytes = 4 * 2 ** 20;

/**
 * Reads the headers of a clip.
 * @throws MediaError `missing`, `directory`, `unreadable`, `empty`, `not-media`, `truncated`, `timeout`, `aborted`, …
 */
export function probeClip(path: string, options: ProbeOptions = {}): Promise<ClipInfo> {
  return probeFile('probeClip', path, options);
}

/** probeClip, with the caller's name for the errors. */
export async function probeFile(
  where: string,
  path: string,
  options: ProbeOptions,
): Promise<ClipInfo> {
  const { timeoutMs = 30_000, signal } = options;
  checkNumber(where, 'timeoutMs', timeoutMs, { low: 1, high: 2 ** 31 - 1 });
  const facts = await inspectFile(where, path);
  const { ffprobe } = findFfmpeg(options.ffmpeg);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const end = await runProgram(ffprobe, [...probeArguments, `file:${path}`], {
    outputs: [{ fd: 1, accept: (c) => (bytes += c.length) <= maxProbeBytes && chunks.push(c) > 0 }],
    timeoutMs,
    signal,
  });
  throwIfStopped(where, path, end, timeoutMs);
  const clip = parseProbe(Buffer.concat(chunks).toString('utf8'));
  if (clip === null) throw unreadableMedia(where, path, facts);
  return readInfo(where, path, facts, clip);
}

const probeArguments: readonly string[] =
  '-v error -protocol_whitelist file -of json -show_format -show_streams -i'.split(' ');

/** Turns our own stop, or somebody else's kill, into the error it is. */
export function throwIfStopped(
  where: string,
  path: string,
  end: ProgramEnd,
  timeoutMs: number,
): void {
  if (end.stopped === 'aborted') {
    throw new MediaError('aborted', path, `${where}: expected to finish "${path}", got an abort.`);
  }
  if (end.stopped === 'timeout') {
    throw new MediaError(
      'timeout',
      path,
      `${where}: expected "${path}" within ${timeoutMs} ms, got no end. Try: a larger timeoutMs.`,
    );
  }
  if (end.foreignSignal !== null) {
    throw new MediaError(
      'killed',
      path,
      `${where}: expected ffmpeg to finish "${path}", got ${end.foreignSignal} from outside. ` +
        'Try: check free memory.',
    );
  }
}

interface ProbedStream {
  readonly index: number;
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly width?: number;
  readonly height?: number;
  readonly sample_aspect_ratio?: string;
  readonly avg_frame_rate?: string;
  readonly r_frame_rate?: string;
  readonly sample_rate?: string;
  readonly channels?: number;
  readonly start_time?: string;
  readonly duration?: string;
  readonly disposition?: Readonly<Record<string, number>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly side_data_list?: readonly { readonly rotation?: number | string }[];
}

interface Probed {
  readonly streams: readonly ProbedStream[];
  readonly format: {
    readonly format_name: string;
    readonly start_time?: string;
    readonly duration?: string;
    readonly probe_score?: number;
  };
}

function parseProbe(text: string): Probed | null {
  try {
    const parsed = JSON.parse(text) as Partial<Probed>;
    if (!Array.isArray(parsed.streams) || typeof parsed.format?.format_name !== 'string')
      return null;
    return parsed as Probed;
  } catch {
    return null;
  }
}

/** The first bytes decide: a known container that cannot be read is a damaged one. */
function unreadableMedia(where: string, path: string, facts: FileFacts): MediaError {
  return facts.container === null
    ? refused(where, 'not-media', path, 'something ffmpeg cannot read')
    : refused(where, 'truncated', path, `the beginning of ${facts.container} without its index`);
}

function readInfo(where: string, path: string, facts: FileFacts, clip: Probed): ClipInfo {
  const { format, streams } = clip;
  if (format.format_name.split(',').some((name) => refusedFormats.test(name))) {
    throw refused(
      where,
      'not-media',
      path,
      `${format.format_name} (text, a list or a still picture)`,
    );
  }
  const start = seconds(format.start_time) ?? 0;
  const origin = Math.max(0, start);
  const video = readVideo(pick(streams, 'video'), origin);
  const audio = readAudio(pick(streams, 'audio'), origin);
  const guessed = facts.container === null && (format.probe_score ?? 0) < 10;
  if (guessed || (video === null && audio === null)) throw unreadableMedia(where, path, facts);
  const containerSeconds = positive(seconds(format.duration));
  const ends = [video, audio].filter((s) => s !== null).map((s) => endOf(s, containerSeconds));
  const known = ends.filter((end) => end !== null);
  return {
    path,
    container: format.format_name,
    sizeBytes: facts.sizeBytes,
    containerSeconds,
    leadSeconds: origin - start,
    durationSeconds: known.length === 0 ? null : Math.min(...known),
    video,
    audio,
  };
}

/** When a stream ends, in seconds since the container's start; null when neither it nor the container says. */
export function endOf(
  stream: { readonly startSeconds: number; readonly durationSeconds: number | null },
  containerSeconds: number | null,
): number | null {
  return stream.durationSeconds === null
    ? containerSeconds
    : stream.startSeconds + stream.durationSeconds;
}

/** The stream marked default, else the first; cover pictures and thumbnails do not count. */
function pick(streams: readonly ProbedStream[], kind: string): ProbedStream | undefined {
  const fitting = streams.filter((s) => s.codec_type === kind && !isCover(s));
  return fitting.find((s) => s.disposition?.['default'] === 1) ?? fitting[0];
}

function isCover({ disposition }: ProbedStream): boolean {
  return disposition?.['attached_pic'] === 1 || disposition?.['timed_thumbnails'] === 1;
}

function readVideo(stream: ProbedStream | undefined, origin: number): VideoInfo | null {
  if (stream === undefined || !(Number(stream.width) > 0) || !(Number(stream.height) > 0))
    return null;
  const rotation = rotationOf(stream);
  const pixelAspect = ratio(stream.sample_aspect_ratio, ':') ?? 1;
  const square = Math.abs(pixelAspect - 1) <= 0.01; // Choice: 448:447 is an encoder's rounding, not a shape
  const stored = { width: Number(stream.width), height: Number(stream.height) };
  const width = square ? stored.width : Math.max(1, Math.round(stored.width * pixelAspect));
  const turned = rotation === 90 || rotation === 270;
  return {
    ...times(stream, origin),
    stream: stream.index,
    codec: stream.codec_name ?? 'unknown',
    width: turned ? stored.height : width,
    height: turned ? width : stored.height,
    rotation,
    frameRate: ratio(stream.avg_frame_rate, '/') ?? ratio(stream.r_frame_rate, '/') ?? 25,
  };
}

function readAudio(stream: ProbedStream | undefined, origin: number): AudioInfo | null {
  if (stream === undefined) return null;
  const sampleRate = Number(stream.sample_rate);
  const channels = Number(stream.channels);
  if (!(sampleRate > 0) || !(channels > 0)) return null; // ffprobe found no decodable header
  const codec = stream.codec_name ?? 'unknown';
  return { ...times(stream, origin), stream: stream.index, codec, sampleRate, channels };
}

function times(
  stream: ProbedStream,
  origin: number,
): { startSeconds: number; durationSeconds: number | null } {
  const start = seconds(stream.start_time);
  const startSeconds = start === null ? 0 : Math.round((start - origin) * 1e6) / 1e6;
  return {
    startSeconds,
    durationSeconds: positive(seconds(stream.duration) ?? tagSeconds(stream)),
  };
}

/** Matroska writes a stream's length as a tag, `00:00:10.381000000`. */
function tagSeconds(stream: ProbedStream): number | null {
  const match = /^(\d+):(\d+):(\d+(?:\.\d+)?)$/.exec(stream.tags?.['DURATION'] ?? '');
  return match === null ? null : Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]);
}

/** Side data counts counter-clockwise, the old tag clockwise. */
function rotationOf(stream: ProbedStream): VideoInfo['rotation'] {
  const side = stream.side_data_list?.find((data) => data.rotation !== undefined)?.rotation;
  const clockwise = side === undefined ? Number(stream.tags?.['rotate'] ?? 0) : -Number(side);
  const turn = (((Math.round(clockwise / 90) * 90) % 360) + 360) % 360;
  return turn === 90 || turn === 180 || turn === 270 ? turn : 0;
}

function ratio(text: string | undefined, separator: string): number | null {
  const [above, below] = (text ?? '').split(separator).map(Number);
  const value = (above ?? Number.NaN) / (below ?? Number.NaN);
  return Number.isFinite(value) && value > 0 ? value : null;
}

function seconds(text: string | undefined): number | null {
  const value = Number(text ?? Number.NaN);
  return Number.isFinite(value) ? value : null;
}

function positive(value: number | null): number | null {
  return value !== null && value > 0 ? value : null;
}
