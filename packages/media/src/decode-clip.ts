// SPDX-License-Identifier: Apache-2.0
// Clip file -> waveform and frames: one ffmpeg process, rgb24 on one pipe and f32le on another, both counted.
// ffmpeg's exit code is never asked: it is 0 for files without a single frame and 1 for complete decodes.

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';

import { byteSink, type ByteSink } from './byte-sink.ts';
import {
  checkOptions,
  countOf,
  planDecode,
  tooLarge,
  type DecodeOptions,
  type DecodePlan,
} from './decode-plan.ts';
import { findFfmpeg, hasSoxr } from './find-ffmpeg.ts';
import { inspectFile } from './inspect-file.ts';
import { MediaError } from './media-error.ts';
import { probeFile, throwIfStopped } from './probe-clip.ts';
import { runProgram, type ProgramEnd, type ProgramOutput } from './run-program.ts';
import { readWav } from './wav.ts';

export interface Frames {
  /** rgb24, `[frames, height, width, 3]`, 0..255. */
  readonly data: Uint8Array;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

export interface DecodedClip {
  /**
   * Mono, `[samples]`, -1..1, the mean of the channels; sample i is at `startSeconds + i / sampleRate`.
   * Empty when not asked for.
   */
  readonly waveform: Float32Array;
  /** Hz of `waveform`; 0 when it is empty. */
  readonly sampleRate: number;
  /** Frame k shows what a player shows at `startSeconds + k / frameRate`. Zero frames when not asked for. */
  readonly frames: Frames;
  /** Frames per second of `frames`; 0 when there are none. */
  readonly frameRate: number;
  readonly startSeconds: number;
  /** Seconds decoded, <= the seconds asked for. */
  readonly durationSeconds: number;
  /** Lines of complaint from the decoders about damaged data that was concealed; 0 for a sound file. */
  readonly decodeErrors: number;
}

/** What may be missing at the end of a stream, against its own stated length, before the clip counts as truncated. */
const toleratedSeconds = 0.1;
const noFrames: Frames = { data: new Uint8Array(0), frames: 0, height: 0, width: 0 };

/**
 * Decodes a window of a clip. Rotation, edit lists and late streams are respected; sound and picture are cut by the
 * same clock. Up to 0.1 s missing at a stream's end is filled (last frame repeated, silence); more is `truncated`,
 * or shortens the result where the container does not say how long the stream is.
 *
 * A `.wav` file asked for its sound alone is read without ffmpeg and keeps its own sample rate, whatever
 * `sampleRate` asks for: look at `sampleRate` of the result, and resample with `@diffmavil/audio-spectrogram`.
 * @throws MediaError, any reason
 */
export async function decodeClip(path: string, options: DecodeOptions = {}): Promise<DecodedClip> {
  const where = 'decodeClip';
  checkOptions(options);
  if (options.streams === 'audio' && extname(path).toLowerCase() === '.wav') {
    return decodeWav(path, options);
  }
  const { timeoutMs = 120_000, signal } = options;
  const started = performance.now();
  await inspectFile(where, path);
  const shared = { ...(options.ffmpeg && { ffmpeg: options.ffmpeg }), ...(signal && { signal }) };
  const probed = options.info ?? (await probeFile(where, path, { ...shared, timeoutMs }));
  const { ffmpeg } = findFfmpeg(options.ffmpeg);
  const plan = planDecode({ ...probed, path }, options, await hasSoxr(ffmpeg));

  const sinks = openSinks(plan, options.maxBytes ?? 2 ** 30);
  const end = await runProgram(ffmpeg, plan.arguments, {
    outputs: outputsOf(sinks),
    timeoutMs: Math.max(1, timeoutMs - (performance.now() - started)),
    signal,
  });
  if (end.stopped !== 'enough') throwIfStopped(where, path, end, timeoutMs);
  throwIfOverflowed(path, plan, sinks, options.maxBytes ?? 2 ** 30);
  return assemble(path, plan, sinks, end);
}

interface Sinks {
  readonly video: ByteSink | null;
  readonly audio: ByteSink | null;
}

function openSinks({ video, audio }: DecodePlan, maxBytes: number): Sinks {
  const frameBytes = video === null ? 0 : video.width * video.height * 3;
  const videoBytes = video?.frames == null ? null : video.frames * frameBytes;
  const audioBytes = audio?.samples == null ? null : audio.samples * 4;
  return {
    video: video && byteSink(videoBytes, maxBytes),
    audio: audio && byteSink(audioBytes, maxBytes),
  };
}

function outputsOf({ video, audio }: Sinks): ProgramOutput[] {
  return [
    ...(video === null ? [] : [{ fd: 1, accept: video.accept }]),
    ...(audio === null ? [] : [{ fd: 3, accept: audio.accept }]),
  ];
}

/** The filters end at the planned counts, so more than planned means the stream restarted them: it changed its format. */
function throwIfOverflowed(path: string, plan: DecodePlan, sinks: Sinks, maxBytes: number): void {
  const { video, audio } = sinks;
  if (!video?.overflowed() && !audio?.overflowed()) return;
  if ((plan.video ?? plan.audio)?.endKnown === false) throw tooLarge(path, 'more', maxBytes);
  throw new MediaError(
    'ffmpeg-failed',
    path,
    `decodeClip: expected "${path}" to keep one format, got more frames or samples than it can hold. ` +
      'Try: convert it to one resolution and sample rate first.',
  );
}

function assemble(path: string, plan: DecodePlan, sinks: Sinks, end: ProgramEnd): DecodedClip {
  const { video, audio } = plan;
  const frameBytes = video === null ? 1 : video.width * video.height * 3;
  const got = {
    frames: Math.floor((sinks.video?.length() ?? 0) / frameBytes),
    samples: Math.floor((sinks.audio?.length() ?? 0) / 4),
  };
  const { frames, samples, durationSeconds } = settle(path, plan, got, end);
  const data = sinks.video?.take(frames * frameBytes) ?? noFrames.data;
  for (let k = got.frames; k < frames; k++) {
    data.copyWithin(k * frameBytes, (got.frames - 1) * frameBytes, got.frames * frameBytes);
  }
  const sound = sinks.audio?.take(samples * 4) ?? new Uint8Array(0);
  return {
    waveform: new Float32Array(sound.buffer, 0, samples),
    sampleRate: audio?.sampleRate ?? 0,
    frames: video === null ? noFrames : { data, frames, height: video.height, width: video.width },
    frameRate: video?.frameRate ?? 0,
    startSeconds: plan.startSeconds,
    durationSeconds,
    decodeErrors: end.errorLines,
  };
}

interface Counts {
  readonly frames: number;
  readonly samples: number;
}

/**
 * Counts and length of the result: as planned where at most the tolerated end is missing, less where nobody
 * promised more.
 */
function settle(
  path: string,
  plan: DecodePlan,
  got: Counts,
  end: ProgramEnd,
): Counts & { readonly durationSeconds: number } {
  const { video, audio, durationSeconds } = plan;
  const planned = { frames: video?.frames ?? got.frames, samples: audio?.samples ?? got.samples };
  const nothing = (video !== null && got.frames === 0) || (audio !== null && got.samples === 0);
  const damaged = (endKnown: boolean): boolean => endKnown || end.errorLines > 0;
  const missing = (rate: number, from: number, to: number): boolean =>
    (to - from) / rate > toleratedSeconds;
  const videoShort = video !== null && missing(video.frameRate, got.frames, planned.frames);
  const audioShort = audio !== null && missing(audio.sampleRate, got.samples, planned.samples);
  if (
    nothing ||
    (videoShort && (damaged(video.endKnown) || audioShort)) ||
    (audioShort && damaged(audio.endKnown))
  ) {
    throw truncated(path, plan, planned, got, end);
  }
  if (!videoShort && !audioShort && durationSeconds !== null)
    return { ...planned, durationSeconds };

  const videoSeconds = video === null ? Infinity : got.frames / video.frameRate;
  const audioSeconds = audio === null ? Infinity : got.samples / audio.sampleRate;
  const length = Math.min(durationSeconds ?? Infinity, videoSeconds, audioSeconds);
  return {
    frames: video === null ? 0 : Math.min(got.frames, countOf(length, video.frameRate)),
    samples: audio === null ? 0 : Math.min(got.samples, countOf(length, audio.sampleRate)),
    durationSeconds: length,
  };
}

function truncated(
  path: string,
  plan: DecodePlan,
  planned: Counts,
  got: Counts,
  end: ProgramEnd,
): MediaError {
  const counted = (counts: Counts): string =>
    [
      ...(plan.video === null ? [] : [`${counts.frames || 'some'} frames`]),
      ...(plan.audio === null ? [] : [`${counts.samples || 'some'} samples`]),
    ].join(' and ');
  const received = counted(got).replaceAll('some', '0');
  const complaint = end.errorText.split('\n').at(-1) ?? '';
  const because = complaint === '' ? '' : ` (ffmpeg: ${complaint})`;
  return new MediaError(
    'truncated',
    path,
    `decodeClip: expected ${counted(planned)} from "${path}", got ${received}${because}.`,
  );
}

async function decodeWav(path: string, options: DecodeOptions): Promise<DecodedClip> {
  const { startSeconds = 0, durationSeconds = Infinity, maxBytes = 2 ** 30, signal } = options;
  const { sizeBytes } = await inspectFile('decodeClip', path);
  if (sizeBytes > maxBytes) throw tooLarge(path, `a WAV file of ${sizeBytes} bytes`, maxBytes);
  if (signal?.aborted) {
    throw new MediaError(
      'aborted',
      path,
      `decodeClip: expected to finish "${path}", got an abort.`,
    );
  }
  const { channels, sampleRate } = readWav(await readFile(path), path);
  const available = channels[0]?.length ?? 0;
  const first = Math.round(startSeconds * sampleRate);
  if (first >= available) {
    const ends = `"${path}" at ${available / sampleRate} s`;
    const message = `decodeClip: expected startSeconds before the end of ${ends}, got ${startSeconds}.`;
    throw new MediaError('too-short', path, message);
  }
  const length = Math.min((available - first) / sampleRate, durationSeconds);
  const waveform = new Float32Array(Math.min(countOf(length, sampleRate), available - first));
  for (const channel of channels) {
    for (let i = 0; i < waveform.length; i++) {
      waveform[i] = (waveform[i] ?? 0) + (channel[first + i] ?? 0) / channels.length;
    }
  }
  return {
    waveform,
    sampleRate,
    frames: noFrames,
    frameRate: 0,
    startSeconds,
    durationSeconds: waveform.length / sampleRate,
    decodeErrors: 0,
  };
}
