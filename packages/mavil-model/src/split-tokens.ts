// SPDX-License-Identifier: Apache-2.0
// Checks what one modality brings to a pre-training pass and cuts its token order into first view, second view
// and masked tokens [MAE §3], [MAViL §3.2].
import { ConfigError, ShapeError, shapeOf } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { patchValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { diffuseMasked } from './diffusion.ts';
import type { NoiseInput } from './diffusion.ts';
import type { PerModality } from './fusion.ts';
import { pretrainVisibleCount } from './masking.ts';

/** What one modality brings to a pass. */
export interface ModalityInput {
  /** Normalised patches [batch, tokens, patchValues]. */
  readonly patches: tf.Tensor;
  /** int32 [batch, tokens], a permutation per clip: the first K visible, the next K the second view, masked from K on. */
  readonly order: tf.Tensor;
  /** Diffusion timestep of each clip, 1..T; not needed with mask tokens. */
  readonly timesteps?: ArrayLike<number> | tf.Tensor;
  /** Noise, aligned with order[K..); not needed with mask tokens. */
  readonly noise?: NoiseInput;
}

/** A modality's tokens, cut: indices are int32. */
export interface SplitTokens {
  readonly patches: tf.Tensor;
  /** [batch, tokens] */
  readonly order: tf.Tensor;
  /** [batch, K]: what the encoder sees. */
  readonly visible: tf.Tensor;
  /** [batch, K]: what it sees in the second view, disjoint from the first; [batch, 0] when there is none. */
  readonly second: tf.Tensor;
  /** [batch, tokens - K]: what the decoder predicts, the second view's tokens among them. */
  readonly masked: tf.Tensor;
  readonly timesteps: ArrayLike<number> | null;
  readonly noise: NoiseInput | null;
}

/** Throws ConfigError when a modality or its noise is missing, ShapeError when a shape does not fit. */
export function splitTokens(
  config: ModelConfig,
  modality: Modality,
  inputs: PerModality<ModalityInput>,
  maskRatio: number,
): SplitTokens {
  const where = `pretrainForward: ${modality}`;
  const input = inputs[modality];
  if (input === undefined) {
    throw new ConfigError(
      `${where}: expected patches, as the configuration has ${modality}, got none`,
    );
  }
  const tokens = tokenCount(config, modality);
  const { batch } = shapeOf(input.patches, '[batch, tokens, patchValues]', `${where}.patches`, {
    tokens,
    patchValues: patchValues(config, modality),
  });
  shapeOf(input.order, '[batch, tokens]', `${where}.order`, { batch, tokens });
  if (input.order.dtype !== 'int32') {
    throw new ShapeError(`${where}.order: expected dtype int32, got ${input.order.dtype}`);
  }
  const twice = config.loss.intraWeight > 0;
  const visible = pretrainVisibleCount(tokens, maskRatio, twice, where);
  const part = (from: number, count: number): tf.Tensor =>
    tf.slice(input.order, [0, from], [-1, count]);
  return {
    patches: input.patches,
    order: input.order,
    visible: part(0, visible),
    second: part(visible, twice ? visible : 0),
    masked: part(visible, tokens - visible),
    ...noising(config, input, batch, where),
  };
}

function noising(
  config: ModelConfig,
  { timesteps, noise }: ModalityInput,
  batch: number,
  where: string,
): Pick<SplitTokens, 'timesteps' | 'noise'> {
  if (config.masked.kind === 'mask-token') return { timesteps: null, noise: null };
  if (timesteps === undefined || noise === undefined) {
    const lacking = timesteps === undefined ? 'timesteps' : 'noise';
    throw new ConfigError(
      `${where}: expected ${lacking}, as masked patches are diffused, got none`,
    );
  }
  const values = timesteps instanceof tf.Tensor ? timesteps.dataSync() : timesteps;
  if (values.length !== batch) {
    throw new ShapeError(`${where}.timesteps: expected [batch = ${batch}], got [${values.length}]`);
  }
  return { timesteps: values, noise };
}

/** x_t of the masked target patches, [batch, masked, targetValues]; null with mask tokens. */
export function noisedTargets(
  config: ModelConfig,
  { masked, timesteps, noise }: SplitTokens,
  targets: tf.Tensor,
): tf.Tensor3D | null {
  if (config.masked.kind === 'mask-token' || timesteps === null || noise === null) return null;
  return diffuseMasked(config.masked, targets, masked, timesteps, noise);
}

/** Throws ShapeError unless both modalities bring the same clips. */
export function checkSameBatch({ audio, video }: PerModality<SplitTokens>): void {
  const [first, second] = [audio?.order.shape[0], video?.order.shape[0]];
  if (first !== undefined && second !== undefined && first !== second) {
    throw new ShapeError(
      `pretrainForward: expected as many audio clips as video clips, got ${first} and ${second}`,
    );
  }
}
