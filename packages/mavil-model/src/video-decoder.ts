// SPDX-License-Identifier: Apache-2.0
// The video decoder. cross: masked tokens query the visible ones, which stay as they are, and never see each
// other [DiffMAViL §3, DiffMAE 'cross' on the last encoder block]; self: all tokens attend to all.
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock, applyNorm } from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import type { ModelConfig } from './config.ts';
import { maskedTokens, predictTargets, selfAttend, shownTokens } from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import type { Parameters } from './parameters.ts';

/** Predicted targets of the masked tokens [batch, masked, targetValues], in the order of `input.masked`. */
export function decodeVideo(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions = {},
): tf.Tensor3D {
  return tf.tidy(() => {
    const attend = config.decoder.videoAttention === 'cross' ? crossAttend : selfAttend;
    const x = attend(config, parameters, 'video', input, options);
    return predictTargets(config, parameters, 'video', x, options);
  });
}

// App. B.2's "unmasked patch embeddings attend to masked" contradicts §3 and the FLOPs: queries are the masked.
function crossAttend(
  config: ModelConfig,
  parameters: Parameters,
  modality: 'video',
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const { depth, heads } = config.decoder;
  let x = maskedTokens(config, parameters, modality, input, options);
  // Choice: the visible tokens get positions and one LayerNorm, computed once for all blocks.
  const seen = shownTokens(config, parameters, modality, input, options);
  const context = applyNorm(config, parameters, 'video_decoder.context_norm', seen);
  for (let i = 0; i < depth; i++) {
    const name = `video_decoder.blocks.${i}`;
    x = applyBlock(config, parameters, name, x, { kind: 'cross', heads, context }, options);
  }
  return x;
}
