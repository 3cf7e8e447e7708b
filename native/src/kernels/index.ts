// SPDX-License-Identifier: Apache-2.0
// All native kernels, by family. A new family is one line here.
import { adamwUpdateKernels } from './adamw-update.ts';
import { binaryKernels } from './binary.ts';
import { castKernels } from './cast.ts';
import { concatKernels } from './concat.ts';
import { diffuseKernels } from './diffuse.ts';
import { dropPathKernels } from './drop-path.ts';
import { fillKernels } from './fill.ts';
import { gatherKernels } from './gather.ts';
import { gatherNdKernels } from './gather-nd.ts';
import { gatherTokensKernels } from './gather-tokens.ts';
import { geluKernels } from './gelu.ts';
import { globalNormKernels } from './global-norm.ts';
import { infoNceKernels } from './info-nce.ts';
import type { NativeKernel } from './kernel.ts';
import { layerNormKernels } from './layer-norm.ts';
import { maskedPatchLossKernels } from './masked-patch-loss.ts';
import { oneHotKernels } from './one-hot.ts';
import { padKernels } from './pad.ts';
import { rangeKernels } from './range.ts';
import { selectKernels } from './select.ts';
import { storageKernels } from './storage.ts';
import { stridedCopyKernels } from './strided-copy.ts';
import { topKKernels } from './top-k.ts';
import { unaryKernels } from './unary.ts';

export const nativeKernels: readonly NativeKernel[] = [
  ...adamwUpdateKernels,
  ...binaryKernels,
  ...castKernels,
  ...concatKernels,
  ...diffuseKernels,
  ...dropPathKernels,
  ...fillKernels,
  ...gatherKernels,
  ...gatherNdKernels,
  ...gatherTokensKernels,
  ...geluKernels,
  ...globalNormKernels,
  ...infoNceKernels,
  ...layerNormKernels,
  ...maskedPatchLossKernels,
  ...oneHotKernels,
  ...padKernels,
  ...rangeKernels,
  ...selectKernels,
  ...storageKernels,
  ...stridedCopyKernels,
  ...topKKernels,
  ...unaryKernels,
];
