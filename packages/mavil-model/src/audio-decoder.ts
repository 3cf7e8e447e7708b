// SPDX-License-Identifier: Apache-2.0
// The audio decoder: all tokens on their time-frequency grid, in shifted windows (Swin) or globally
// [DiffMAViL §3, App. C]. Choice: pre-norm Swin blocks with a learned relative position bias, shifted on both
// axes, in place of AudioMAE's cosine-attention post-norm blocks; the paper names Swin only.
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock } from './blocks.ts';
import type { BlockAttention, ComputeOptions } from './blocks.ts';
import { tokenGrid } from './config.ts';
import type { ModelConfig } from './config.ts';
import { gridTokens, onlyMasked, predictPatches } from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import type { Parameters } from './parameters.ts';

/** Predicted masked patches [batch, masked, patch^2], in the order of `input.masked`. */
export function decodeAudio(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions = {},
): tf.Tensor3D {
  return tf.tidy(() => {
    let x = gridTokens(config, parameters, 'audio', input, options);
    for (let i = 0; i < config.decoder.depth; i++) {
      const name = `audio_decoder.blocks.${i}`;
      x = applyBlock(parameters, name, x, audioAttention(config, i), options);
    }
    return predictPatches(parameters, 'audio', onlyMasked(x, input), options);
  });
}

/** Attention of block `index`: odd blocks are shifted, never along an axis whose grid is one window long. */
export function audioAttention(config: ModelConfig, index: number): BlockAttention {
  const { heads, audioAttention, window, shift } = config.decoder;
  if (audioAttention === 'global') return { kind: 'self', heads };
  const [rows = 1, columns = 1] = tokenGrid(config, 'audio');
  const shifted = index % 2 === 1;
  return {
    kind: 'window',
    heads,
    grid: [rows, columns],
    size: window,
    shift: [
      shifted && rows > window[0] ? shift[0] : 0,
      shifted && columns > window[1] ? shift[1] : 0,
    ],
  };
}
