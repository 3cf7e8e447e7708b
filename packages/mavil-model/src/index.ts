// SPDX-License-Identifier: Apache-2.0
// @diffmavil/model: the model of the paper and what one does with it. Start with mavil.ts, one pre-training pass.
export {
  defineModel,
  modalities,
  patchValues,
  targetPatchValues,
  targetValues,
  tokenCount,
  tokenGrid,
} from './config.ts';
export type {
  AudioConfig,
  ClassifierConfig,
  DecoderConfig,
  EncoderConfig,
  FusionConfig,
  LossConfig,
  MaskedConfig,
  MaskingConfig,
  Modality,
  ModelConfig,
  PartialModelConfig,
  TargetsConfig,
  VideoConfig,
} from './config.ts';
export { presetMasking, presetOrConfig, presets } from './presets.ts';
export type { PresetMasking, PresetName } from './presets.ts';
export {
  checkParameterShapes,
  classifierShapes,
  initializeClassifier,
  initializeHead,
  initializeParameters,
  parameterCount,
  parameterShapes,
} from './parameters.ts';
export type { Parameters } from './parameters.ts';
export { headName } from './parameter-entries.ts';
export type { ClassifierInput } from './parameter-entries.ts';
export {
  positionTable,
  sinCosPositions1d,
  sinCosPositions2d,
  sinCosPositionsVideo,
} from './positions.ts';
export {
  drawMask,
  maskOrder,
  maskRatioOf,
  maskRatiosAt,
  visibleCount,
  visibleTokenCount,
} from './masking.ts';
export type { MaskCurricula, MaskRatios } from './masking.ts';
export type { ComputeOptions } from './blocks.ts';
export { encode, encodeAudio, encodeVideo, meanPool, withoutClassToken } from './encoder.ts';
export type { EncodeOptions } from './encoder.ts';
export { embedPatches } from './embed.ts';
export { fuse, mapPresent, unimodalTokens } from './fusion.ts';
export type { FuseOptions, PerModality } from './fusion.ts';
export { diffuseMasked, predictedFrameInTubelet, targetPatches } from './diffusion.ts';
export type { NoiseInput } from './diffusion.ts';
export { decode } from './decoder.ts';
export type { DecoderInput, NoisedPatches, ShownTokens } from './decoder-tokens.ts';
export { interModalLoss, intraModalLoss, reconstructionLoss, totalLoss } from './losses.ts';
export type { LossTerms } from './losses.ts';
export { pretrainForward } from './mavil.ts';
export { pretrainFaults } from './pretrain-faults.ts';
export type { PretrainOptions, PretrainOutputs } from './mavil.ts';
export { checkTeacher, teacherTargets } from './teacher.ts';
export type { Teacher } from './teacher.ts';
export type { ModalityInput } from './split-tokens.ts';
export { audioVideoClassifierForward, classifierForward } from './classifier.ts';
export type { AudioVideoClassifierOptions, ClassifierOptions } from './classifier.ts';
export { classifierDrops, dropPathRates } from './drop-path.ts';
export type { ClassifierDrops } from './drop-path.ts';
export { bottleneckConfig, bottleneckFromEncoders } from './bottleneck-from-encoders.ts';
export type { BottleneckModel, BottleneckOptions } from './bottleneck-from-encoders.ts';
export { reconstructPatches } from './reconstruct.ts';
export type { PatchReconstruction, ReconstructOptions } from './reconstruct.ts';
export { samplePatches } from './sampling.ts';
export type { SampleInput, SampleOptions, Sampler, SampleState } from './sampling.ts';
export { DiffMavil } from './diffmavil.ts';
export type {
  AudioClip,
  AudioReconstruction,
  Classification,
  DiffMavilParts,
  VideoClip,
  VideoReconstruction,
} from './diffmavil.ts';
export { clipAudioPatches, clipVideoPatches } from './input-patches.ts';
export type { InputSettings } from './input-patches.ts';
export { defaultPreprocessor } from './preprocessor.ts';
export type { AudioPreprocessor, Preprocessor, VideoPreprocessor } from './preprocessor.ts';
export { convertForeign } from './interop/convert.ts';
export type { ConversionSummary, ConvertedModel } from './interop/convert.ts';
export type { ConvertOptions } from './interop/mapping.ts';
export type { ForeignFile } from './interop/foreign-weights.ts';
export type { Inflation, Values } from './interop/arrays.ts';
export { readSafetensors, readSafetensorsFile, writeSafetensors } from './safetensors.ts';
export type { SafeTensor, SafetensorsFile, WritableTensor } from './safetensors.ts';
export { toHuggingFace } from './interop/to-hugging-face.ts';
export type {
  HuggingFaceFormat,
  HuggingFaceModel,
  HuggingFaceOptions,
} from './interop/to-hugging-face.ts';
export { countMacs, countMacsOverCurriculum, macRatios } from './flops.ts';
export type { MacCounts, MacOptions } from './flops.ts';
export { trainingCosts, trainingCostsOverCurriculum } from './costs/training.ts';
export type { TrainingCosts, TrainingOptions } from './costs/training.ts';
export type { CostBackend } from './costs/ledger.ts';
