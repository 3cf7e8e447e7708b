// SPDX-License-Identifier: Apache-2.0
// Every op, with its reference twin; and the mechanism by which a backend brings kernels of its
// own.
export {
  adamwRates,
  adamwUpdate,
  adamwUpdateReference,
  type AdamwConstants,
  type AdamwOptions,
  type AdamwResult,
  type AdamwSchedule,
  type AdamwState,
} from './adamw-update.ts';
export {
  attentionBranch,
  attentionBranchReference,
  type AttentionBranchOptions,
  type CrossAttentionParameters,
  type CrossBranchOptions,
  type LinearParameters,
  type SelfAttentionParameters,
  type SelfBranchOptions,
  type WindowAttentionParameters,
  type WindowBranchOptions,
} from './attention-branch.ts';
export { attention, attentionReference, type AttentionOptions } from './attention.ts';
export { diffuse, diffuseReference, type DiffusedPatches, type Noise } from './diffuse.ts';
export {
  diffusedLinear,
  diffusedLinearReference,
  type DiffusedLinearOptions,
} from './diffused-linear.ts';
export { dropPath, dropPathFactors, dropPathReference } from './drop-path.ts';
export {
  gatherTokens,
  gatherTokensReference,
  scatterTokens,
  scatterTokensReference,
} from './gather-tokens.ts';
export { gelu, geluReference } from './gelu.ts';
export { globalNorm, globalNormReference } from './global-norm.ts';
export { infoNce, infoNceReference, type InfoNceOptions } from './info-nce.ts';
export { isAbsent, type Precision } from './kernel.ts';
export {
  layerNorm,
  layerNormReference,
  type LayerNormOptions,
  type NormParameters,
} from './layer-norm.ts';
export { linear, linearReference, type LinearOptions } from './linear.ts';
export {
  maskedPatchLoss,
  maskedPatchLossReference,
  type MaskedPatchLossOptions,
} from './masked-patch-loss.ts';
export {
  mlpBranch,
  mlpBranchReference,
  type MlpBranchOptions,
  type MlpBranchParameters,
} from './mlp-branch.ts';
export { biasTableRows, windowPlan, type WindowOptions, type WindowPlan } from './windows.ts';
