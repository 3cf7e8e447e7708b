// SPDX-License-Identifier: Apache-2.0
// Every op, with its reference twin; and the mechanism by which a backend brings kernels of its own.
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
export { dropPath, dropPathFactors, dropPathReference } from './drop-path.ts';
export { gelu, geluReference } from './gelu.ts';
export { isAbsent, type Precision } from './kernel.ts';
export {
  layerNorm,
  layerNormReference,
  type LayerNormOptions,
  type NormParameters,
} from './layer-norm.ts';
export { linear, linearReference, type LinearOptions } from './linear.ts';
export {
  mlpBranch,
  mlpBranchReference,
  type MlpBranchOptions,
  type MlpBranchParameters,
} from './mlp-branch.ts';
export { biasTableRows, type WindowOptions } from './windows.ts';
