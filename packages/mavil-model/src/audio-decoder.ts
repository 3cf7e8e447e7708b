// SPDX-License-Identifier: Apache-2.0
// The audio decoder: all tokens on their time-frequency grid, in shifted windows (Swin), or globally
// [DiffMAViL §3, App. C]. Choice: pre-norm Swin blocks with a learned relative position bias, shifted on both
// axes; the paper names Swin only. AudioMAE's cosine-attention post-norm blocks are kind 'cosine-window'.
import { gatherTokens, scatterTokens } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { applyBlock } from './blocks.ts';
import type { BlockAttention, ComputeOptions } from './blocks.ts';
import { tokenCount, tokenGrid } from './config.ts';
import type { ModelConfig } from './config.ts';
import { maskedTokens, predictTargets, selfAttend, shownTokens } from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import type { Parameters } from './parameters.ts';

/** Predicted targets of the masked tokens [batch, masked, targetValues], in the order of `input.masked`. */
export function decodeAudio(
  config: ModelConfig,
  parameters: Parameters,
  input: DecoderInput,
  options: ComputeOptions = {},
): tf.Tensor3D {
  return tf.tidy(() => {
    const attend = config.decoder.audioAttention === 'global' ? selfAttend : attendInWindows;
    const x = attend(config, parameters, 'audio', input, options);
    return predictTargets(config, parameters, 'audio', x, options);
  });
}

/** Windows need every token in its place; only the masked ones are handed on. */
function attendInWindows(
  config: ModelConfig,
  parameters: Parameters,
  modality: 'audio',
  input: DecoderInput,
  options: ComputeOptions,
): tf.Tensor3D {
  const seen = shownTokens(config, parameters, modality, input, options);
  const hidden = maskedTokens(config, parameters, modality, input, options);
  const order = tf.concat([input.shown.order, input.masked], 1);
  let x = scatterTokens(tf.concat([seen, hidden], 1), order, tokenCount(config, modality));
  for (let i = 0; i < config.decoder.depth; i++) {
    const name = `audio_decoder.blocks.${i}`;
    x = applyBlock(config, parameters, name, x, windowAttention(config, i), options);
  }
  return gatherTokens(x, input.masked);
}

/** Attention of block `index`: odd blocks are shifted, never along an axis whose grid is one window long. */
export function windowAttention(config: ModelConfig, index: number): BlockAttention {
  const { heads, audioAttention, window, shift } = config.decoder;
  const [rows = 1, columns = 1] = tokenGrid(config, 'audio');
  const shifted = index % 2 === 1;
  return {
    kind: audioAttention === 'cosine-window' ? 'cosine-window' : 'window',
    heads,
    grid: [rows, columns],
    size: window,
    shift: [
      shifted && rows > window[0] ? shift[0] : 0,
      shifted && columns > window[1] ? shift[1] : 0,
    ],
  };
}
