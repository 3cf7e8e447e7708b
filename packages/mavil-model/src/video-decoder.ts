// SPDX-License-Identifier: Apache-2.0
// The video decoder. cross: masked tokens query the visible ones, which stay as they are, and never see each
// other [DiffMAViL §3, DiffMAE 'cross' on the last encoder block]; self: all tokens attend to all.
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock, applyNorm } from './blocks.ts';
import type { ComputeOptions } from './blocks.ts';
import type { ModelConfig } from './config.ts';
import {
  gridTokens,
  maskedTokens,
  onlyMasked,
  predictPatches,
  visibleTokens,
} from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import { positionsOf } from './encoder.ts';
import type { Parameters } from './parameters.ts';

/** Predicted masked patches [batch, masked, targetValues], in the order of `input.masked`. */
export function decodeVideo(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions = {},
): tf.Tensor3D {
  return tf.tidy(() => {
    const x =
      config.decoder.videoAttention === 'cross'
        ? crossAttend(config, parameters, input, options)
        : selfAttend(config, parameters, input, options);
    return predictPatches(parameters, 'video', x, options);
  });
}

// App. B.2's "unmasked patch embeddings attend to masked" contradicts §3 and the FLOPs: queries are the masked.
function crossAttend(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const { width, depth, heads } = config.decoder;
  const placed = (tokens: tf.Tensor3D, order: tf.Tensor): tf.Tensor3D =>
    tf.add(tokens, positionsOf(config, 'video', width, order));
  let x = placed(maskedTokens(config, parameters, 'video', input, options), input.masked);
  // Choice: the visible tokens get positions and one LayerNorm, computed once for all blocks.
  const seen = placed(visibleTokens(parameters, 'video', input, options), input.visible);
  const context = applyNorm(parameters, 'video_decoder.context_norm', seen);
  for (let i = 0; i < depth; i++) {
    const name = `video_decoder.blocks.${i}`;
    x = applyBlock(parameters, name, x, { kind: 'cross', heads, context }, options);
  }
  return x;
}

function selfAttend(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const { depth, heads } = config.decoder;
  let x = gridTokens(config, parameters, 'video', input, options);
  for (let i = 0; i < depth; i++) {
    const name = `video_decoder.blocks.${i}`;
    x = applyBlock(parameters, name, x, { kind: 'self', heads }, options);
  }
  return onlyMasked(x, input);
}
