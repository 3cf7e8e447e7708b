// SPDX-License-Identifier: Apache-2.0
// @diffmavil/media: clip files to waveforms and frames through ffmpeg, WAV without it, demo clips from nothing.

export { decodeClip, type DecodedClip, type Frames } from './decode-clip.ts';
export type { DecodeOptions, Streams } from './decode-plan.ts';
export { findFfmpeg, type FfmpegPaths } from './find-ffmpeg.ts';
export { MediaError, type MediaReason } from './media-error.ts';
export {
  probeClip,
  type AudioInfo,
  type ClipInfo,
  type ProbeOptions,
  type VideoInfo,
} from './probe-clip.ts';
export { readWav, writeWav, type WavData, type WriteWavOptions } from './wav.ts';
export {
  demoFormat,
  demoLabels,
  writeDemoClips,
  type DemoClip,
  type DemoClipsOptions,
} from './demo/demo-clips.ts';
