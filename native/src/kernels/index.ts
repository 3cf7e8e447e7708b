// SPDX-License-Identifier: Apache-2.0
// All native kernels, by family. A new family is one line here.
import { adamwUpdateKernels } from './adamw-update.ts';
import { argReduceKernels } from './arg-reduce.ts';
import { attentionKernels } from './attention.ts';
import { attentionBranchKernels } from './attention-branch.ts';
import { batchMatmulKernels } from './batch-matmul.ts';
import { batchNormKernels } from './batch-norm.ts';
import { binaryKernels } from './binary.ts';
import { broadcastToKernels } from './broadcast-to.ts';
import { castKernels } from './cast.ts';
import { concatKernels } from './concat.ts';
import { convKernels } from './conv.ts';
import { cumulateKernels } from './cumulate.ts';
import { diffuseKernels } from './diffuse.ts';
import { dropPathKernels } from './drop-path.ts';
import { einsumKernels } from './einsum.ts';
import { fillKernels } from './fill.ts';
import { gatherKernels } from './gather.ts';
import { gatherNdKernels } from './gather-nd.ts';
import { gatherTokensKernels } from './gather-tokens.ts';
import { geluKernels } from './gelu.ts';
import { globalNormKernels } from './global-norm.ts';
import { infoNceKernels } from './info-nce.ts';
import type { NativeKernel } from './kernel.ts';
import { layerNormKernels } from './layer-norm.ts';
import { linearKernels } from './linear.ts';
import { maskedPatchLossKernels } from './masked-patch-loss.ts';
import { mlpBranchKernels } from './mlp-branch.ts';
import { oneHotKernels } from './one-hot.ts';
import { padKernels } from './pad.ts';
import { poolKernels } from './pool.ts';
import { rangeKernels } from './range.ts';
import { reduceKernels } from './reduce.ts';
import { resizeBilinearKernels } from './resize-bilinear.ts';
import { selectKernels } from './select.ts';
import { softmaxKernels } from './softmax.ts';
import { storageKernels } from './storage.ts';
import { stridedCopyKernels } from './strided-copy.ts';
import { topKKernels } from './top-k.ts';
import { unaryKernels } from './unary.ts';

export const nativeKernels: readonly NativeKernel[] = [
  ...adamwUpdateKernels,
  ...argReduceKernels,
  ...attentionBranchKernels,
  ...attentionKernels,
  ...batchMatmulKernels,
  ...batchNormKernels,
  ...binaryKernels,
  ...broadcastToKernels,
  ...castKernels,
  ...concatKernels,
  ...convKernels,
  ...cumulateKernels,
  ...diffuseKernels,
  ...dropPathKernels,
  ...einsumKernels,
  ...fillKernels,
  ...gatherKernels,
  ...gatherNdKernels,
  ...gatherTokensKernels,
  ...geluKernels,
  ...globalNormKernels,
  ...infoNceKernels,
  ...layerNormKernels,
  ...linearKernels,
  ...maskedPatchLossKernels,
  ...mlpBranchKernels,
  ...oneHotKernels,
  ...padKernels,
  ...poolKernels,
  ...rangeKernels,
  ...reduceKernels,
  ...resizeBilinearKernels,
  ...selectKernels,
  ...softmaxKernels,
  ...storageKernels,
  ...stridedCopyKernels,
  ...topKKernels,
  ...unaryKernels,
];
