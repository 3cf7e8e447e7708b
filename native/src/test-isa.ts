// SPDX-License-Identifier: Apache-2.0
// A program: runs the fuzz cases of some kernels under the instruction set of DIFFMAVIL_CPU_ISA, which the addon reads once, and prints
// what it ran and what failed as JSON.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { loadAddon } from './loader.ts';
import { registerNative } from './register.ts';
import { checkCase } from './test-fuzz/case.ts';
import { Fuzz } from './test-fuzz/draw.ts';
import { fuzzTable } from './test-fuzz/table.ts';

/** One kernel at least of every file of native/cpu/simd. */
const kernels =
  'Add Pow Exp Erf Tanh Sin Log1p ArgMax Softmax BatchMatMul Conv2D DepthwiseConv2dNative ' +
  'DepthwiseConv2dNativeBackpropFilter DmAdamwUpdate DmAttentionBranchGrad DmAttentionGrad ' +
  'DmDiffuse DmGeluGrad DmGlobalNorm DmInfoNceGrad DmLayerNormGrad DmLinearGrad ' +
  'DmMaskedPatchLossGrad DmMlpBranchGrad DmSoftmaxGrad';

/** Of a kernel; the first ones are the longest. */
const mostCases = 6;

registerNative();
tf.env().set('IS_TEST', true);
let cases = 0;
const failures: string[] = [];
for (const name of kernels.split(' ')) {
  let left = mostCases;
  for (const one of fuzzTable[name]?.(new Fuzz(name)) ?? []) {
    if (left-- === 0) break;
    cases++;
    try {
      await checkCase(one);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
}
process.stdout.write(JSON.stringify({ isa: loadAddon().isa, cases, failures }));
