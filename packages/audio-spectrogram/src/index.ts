// SPDX-License-Identifier: Apache-2.0
// @diffmavil/audio-spectrogram: waveform -> Kaldi-compatible log-mel -> patches, and back.
export { audioPatches } from './audio-patches.ts';
export type { AudioAugmentation, AudioPatchOptions, WaveformMixup } from './audio-patches.ts';
export {
  addNoise,
  drawBeta,
  drawFrameRoll,
  drawGain,
  drawNoise,
  drawRoll,
  drawSpecAugment,
  mixWaveforms,
  rollFrames,
  rollWaveform,
  scaleWaveform,
  specAugment,
} from './augment.ts';
export type { MaskSpan, SpecAugmentMasks, SpectrogramNoise } from './augment.ts';
export { AudioError, sampleRateLimits } from './errors.ts';
export type { AudioErrorKind, Samples, Uniform } from './errors.ts';
export { createLogMel, logMel, logMelFloor } from './log-mel.ts';
export type { LogMel, LogMelOptions, LogMelTransform } from './log-mel.ts';
export { hzToMel, melFilterBank, melToHz } from './mel-filters.ts';
export type { MelFilterBank, MelFilterOptions } from './mel-filters.ts';
export { createResampler, resample, toMono } from './resample.ts';
export type { Resampler } from './resample.ts';
export {
  audioDatasets,
  denormalize,
  normalize,
  padOrCut,
  patchify,
  unpatchify,
} from './spectrogram.ts';
export type { AudioDataset, OverlappingPatchGrid, PatchGrid } from './spectrogram.ts';
