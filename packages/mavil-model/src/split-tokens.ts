// SPDX-License-Identifier: Apache-2.0
// Checks what one modality brings to a pre-training pass and cuts its token order into first view, second view
// and masked tokens [MAE §3], [MAViL §3.2].
import { ConfigError, ShapeError, shapeOf } from '@diffmavil/core';
import type { DiffusedPatches } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { patchValues, tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { diffusedPatches, targetRows } from './diffusion.ts';
import type { NoiseInput } from './diffusion.ts';
import type { PerModality } from './fusion.ts';
import { pretrainVisibleCount } from './masking.ts';

/** What one modality brings to a pass. */
export interface ModalityInput {
  /** Normalised patches [batch, tokens, patchValues]. */
  readonly patches: tf.Tensor;
  /** int32 [batch, tokens], a permutation per clip: the first K visible, masked from K on; the next K are a disjoint second view. */
  readonly order: tf.Tensor;
  /** int32 [batch, K or more], distinct tokens: the first K are an independent second view. Needed for that only. */
  readonly secondOrder?: tf.Tensor;
  /**
   * Diffusion timestep of each clip, 1..T; not needed with mask tokens. Numbers are checked; an int32 tensor [batch] is not read, so that a
   * device is not waited for.
   */
  readonly timesteps?: ArrayLike<number> | tf.Tensor;
  /** Noise, aligned with order[K..); not needed with mask tokens. */
  readonly noise?: NoiseInput;
  /** A teacher's features of all tokens, [batch, tokens, targets.width]; needed where a teacher is the target. */
  readonly targets?: tf.Tensor;
}

/** A modality's tokens, cut: indices are int32. */
export interface SplitTokens {
  readonly patches: tf.Tensor;
  /** [batch, K]: what the encoder sees. */
  readonly visible: tf.Tensor;
  /** [batch, K]: what it sees in the second view; null when there is none. */
  readonly second: tf.Tensor | null;
  /** [batch, tokens - K]: what the decoder predicts, a disjoint second view's tokens among them. */
  readonly masked: tf.Tensor;
  readonly timesteps: ArrayLike<number> | tf.Tensor | null;
  readonly noise: NoiseInput | null;
}

/** Throws ConfigError when a modality or its noise is missing, ShapeError when a shape does not fit, both from `caller`. */
export function splitTokens(
  config: ModelConfig,
  modality: Modality,
  inputs: PerModality<ModalityInput>,
  maskRatio: number,
  caller: string,
): SplitTokens {
  const where = `${caller}: ${modality}`;
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
  checkIndices(input.order, `${where}.order`, { batch, tokens });
  const visible = pretrainVisibleCount(config, modality, maskRatio, where);
  const part = (from: number, count: number): tf.Tensor =>
    tf.slice(input.order, [0, from], [-1, count]);
  return {
    patches: input.patches,
    visible: part(0, visible),
    second: config.loss.intraWeight > 0 ? secondView(config, input, visible, where) : null,
    masked: part(visible, tokens - visible),
    ...noising(config, input, batch, where),
  };
}

function secondView(
  config: ModelConfig,
  { order, secondOrder }: ModalityInput,
  visible: number,
  where: string,
): tf.Tensor {
  if (config.masking.secondView === 'disjoint') {
    return tf.slice(order, [0, visible], [-1, visible]);
  }
  if (secondOrder === undefined) {
    throw new ConfigError(
      `${where}: expected secondOrder for an independent second view, got none`,
    );
  }
  const [batch = 0, given = 0] = secondOrder.shape;
  checkIndices(secondOrder, `${where}.secondOrder`, { batch: order.shape[0] ?? 0, tokens: given });
  if (given < visible) {
    throw new ShapeError(
      `${where}.secondOrder: expected ${visible} tokens or more of ${batch} clips, got ${given}`,
    );
  }
  return tf.slice(secondOrder, [0, 0], [-1, visible]);
}

function checkIndices(
  order: tf.Tensor,
  where: string,
  known: { readonly batch: number; readonly tokens: number },
): void {
  shapeOf(order, '[batch, tokens]', where, known);
  if (order.dtype !== 'int32') {
    throw new ShapeError(`${where}: expected dtype int32, got ${order.dtype}`);
  }
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
  const shape = timesteps instanceof tf.Tensor ? timesteps.shape : [timesteps.length];
  if (shape.length !== 1 || shape[0] !== batch) {
    throw new ShapeError(
      `${where}.timesteps: expected [batch = ${batch}], got [${shape.join(', ')}]`,
    );
  }
  return { timesteps, noise };
}

/** What x_t of the masked target patches, [batch, masked, targetPatchValues], is made from; null with mask tokens. */
export function diffusedTargets(
  config: ModelConfig,
  modality: Modality,
  { patches, masked, timesteps, noise }: SplitTokens,
): DiffusedPatches | null {
  if (config.masked.kind === 'mask-token' || timesteps === null || noise === null) return null;
  // Rows of the patches, which live anyway, not of a copy of the targets, which the loss alone needs.
  const targets = targetRows(config, modality, patches, masked);
  return diffusedPatches(config.masked, targets.patches, targets.rows, timesteps, noise);
}

/** Throws ShapeError, from `caller`, unless both modalities bring the same clips. */
export function checkSameBatch({ audio, video }: PerModality<SplitTokens>, caller: string): void {
  const [first, second] = [audio?.visible.shape[0], video?.visible.shape[0]];
  if (first !== undefined && second !== undefined && first !== second) {
    throw new ShapeError(
      `${caller}: expected as many audio clips as video clips, got ${first} and ${second}`,
    );
  }
}
