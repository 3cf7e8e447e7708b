// SPDX-License-Identifier: Apache-2.0
// From decoded frames to the patches the model sees, and back. No dependencies; runs in browsers.
export { centerCropBox, randomResizedCropBox } from './crop-box.ts';
export type { CenterCrop, RandomResizedCrop } from './crop-box.ts';
export { VideoError } from './errors.ts';
export type { VideoErrorKind } from './errors.ts';
export { flipHorizontal } from './flip.ts';
export type { Box, Frames } from './frames.ts';
export { denormalizeFrames, imageNetMean, imageNetStd, normalizeFrames } from './normalize.ts';
export type { PerChannel } from './normalize.ts';
export { patchify, unpatchify } from './patchify.ts';
export type { PatchGrid } from './patchify.ts';
export { predictedFrameIndices, predictedFrames } from './predicted-frames.ts';
export type { FrameSelection } from './predicted-frames.ts';
export { resizeCrop, resizeShortSide } from './resize.ts';
export type { FloatFrames, ResizeOptions } from './resize.ts';
export {
  evenStartSeconds,
  sampleFrameIndices,
  sampleFrameTimes,
  startSecondsFor,
} from './sample-frames.ts';
export type { ClipSpan, FrameSampling, FrameStart } from './sample-frames.ts';
