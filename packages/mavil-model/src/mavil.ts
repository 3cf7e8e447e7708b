// SPDX-License-Identifier: Apache-2.0
// One pre-training pass of the paper [DiffMAViL §3, Fig. 1, App. B], from patches to loss.
// Encoders see visible patches only, all views at once; fusion and decoders run on the first view.
import * as tf from '@tensorflow/tfjs-core';

import type { ComputeOptions } from './blocks.ts';
import { modalities } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import { shownOf } from './decoder-tokens.ts';
import type { DecoderInput } from './decoder-tokens.ts';
import { decode, shownModality } from './decoder.ts';
import { targetPatches } from './diffusion.ts';
import { encode, meanPool } from './encoder.ts';
import { fuse, mapPresent, unimodalTokens } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import { interModalLoss, intraModalLoss, reconstructionLoss, totalLoss } from './losses.ts';
import type { LossTerms } from './losses.ts';
import { maskRatioOf } from './masking.ts';
import type { MaskRatios } from './masking.ts';
import type { Parameters } from './parameters.ts';
import { refuseOverlap } from './pretrain-faults.ts';
import { checkSameBatch, diffusedTargets, splitTokens } from './split-tokens.ts';
import type { ModalityInput, SplitTokens } from './split-tokens.ts';
import { givenTargets } from './teacher.ts';

/** Who the errors of a pass come from. */
const caller = 'pretrainForward';

/** Outputs of a pass; what a configuration has no use for is left out. Losses are unweighted but for `loss`. */
export type PretrainOutputs = {
  /** Weighted total, scalar. */
  loss: tf.Scalar;
  audioLoss?: tf.Scalar;
  videoLoss?: tf.Scalar;
  interLoss?: tf.Scalar;
  intraLoss?: tf.Scalar;
  /** Mean of the visible tokens before fusion, first view: [batch, width]. */
  audioEmbedding?: tf.Tensor2D;
  videoEmbedding?: tf.Tensor2D;
  /** Predicted x_0 of the masked patches, or the teacher's features of them, aligned with order[K..): [batch, masked, targetValues]. */
  audioPrediction?: tf.Tensor3D;
  videoPrediction?: tf.Tensor3D;
};

export interface PretrainOptions extends ComputeOptions {
  /**
   * Puts this process's embeddings [batch, width] among those of all processes, [all, width], in the same order
   * everywhere: the contrast then runs over the whole. It must carry gradients back. Default: this batch alone.
   */
  readonly gatherNegatives?: (own: tf.Tensor2D) => tf.Tensor2D;
}

/**
 * The forward pass and its losses. maskRatio in (0, 1): K = `visibleTokenCount` tokens are visible.
 * The caller disposes the outputs; run it inside core's `valueAndGrads` to train.
 * Throws ShapeError or ConfigError for inputs that do not fit the configuration.
 */
export function pretrainForward(
  config: ModelConfig,
  parameters: Parameters,
  inputs: PerModality<ModalityInput>,
  maskRatio: MaskRatios,
  options: PretrainOptions = {},
): PretrainOutputs {
  refuseOverlap(config, caller);
  return tf.tidy(() => {
    const present = modalities(config);
    const split = perModality(present, (m) =>
      splitTokens(config, m, inputs, maskRatioOf(maskRatio, m), caller),
    );
    checkSameBatch(split, caller);

    const views = encodeViews(config, parameters, split, options);
    const fused = fuse(config, parameters, views.first, options);
    const raw = perModality(present, (m) => targetPatches(config, m, of(split, m).patches));
    const shown = perModality(present, (m) => decoderInput(config, m, split, fused));
    const predictions = decode(config, parameters, shown, options);
    const embeddings = embed(config, parameters, views.first, options);
    const { audio: audioLoss, video: videoLoss } = perModality(present, (m) => {
      const targets = targetsOf(config, m, of(inputs, m), of(raw, m));
      return reconstructionLoss(config, of(predictions, m), targets, of(split, m).masked);
    });
    const terms = {
      ...(audioLoss && { audioLoss }),
      ...(videoLoss && { videoLoss }),
      ...contrast(config, parameters, embeddings, views.second, options),
    };
    return {
      loss: totalLoss(config, terms),
      ...terms,
      ...(embeddings.audio && { audioEmbedding: embeddings.audio }),
      ...(embeddings.video && { videoEmbedding: embeddings.video }),
      ...(predictions.audio && { audioPrediction: predictions.audio }),
      ...(predictions.video && { videoPrediction: predictions.video }),
    };
  });
}

/** What the encoders make of each view: [batch, class tokens + K, width] each. */
interface EncodedViews {
  readonly first: PerModality<tf.Tensor3D>;
  /** Empty when there is none. */
  readonly second: PerModality<tf.Tensor3D>;
}

/** The encoders on all views as one batch: weights are read, and their gradients written, once. */
function encodeViews(
  config: ModelConfig,
  parameters: Parameters,
  split: PerModality<SplitTokens>,
  options: ComputeOptions,
): EncodedViews {
  const present = modalities(config);
  const views = config.loss.intraWeight > 0 ? 2 : 1;
  const all = perModality(present, (m) => {
    const { patches, visible, second } = of(split, m);
    const order = second === null ? visible : tf.concat([visible, second], 1);
    return encode(config, parameters, m, patches, { ...options, order, views });
  });
  const view = (m: Modality, index: number): tf.Tensor3D => {
    const [, tokens, width] = of(all, m).shape;
    const byClip = tf.reshape(of(all, m), [-1, views, tokens * width]);
    return tf.reshape(tf.slice(byClip, [0, index, 0], [-1, 1, -1]), [-1, tokens, width]);
  };
  if (views === 1) return { first: all, second: {} };
  return {
    first: perModality(present, (m) => view(m, 0)),
    second: perModality(present, (m) => view(m, 1)),
  };
}

/** A decoder reads the visible tokens of its own modality, or of the other one when it paints that in. */
function decoderInput(
  config: ModelConfig,
  modality: Modality,
  split: PerModality<SplitTokens>,
  fused: PerModality<tf.Tensor3D>,
): DecoderInput {
  const source = shownModality(config, modality);
  return {
    shown: shownOf(config, source, of(fused, source), of(split, source).visible),
    masked: of(split, modality).masked,
    noised: diffusedTargets(config, modality, of(split, modality)),
  };
}

/** What the decoder is to predict: patches, or a teacher's features. */
function targetsOf(
  { targets }: ModelConfig,
  modality: Modality,
  input: ModalityInput,
  raw: tf.Tensor,
): tf.Tensor {
  if (targets.kind === 'patches') return raw;
  return givenTargets(targets, input.targets, raw.shape, `${caller}: ${modality}`);
}

/** Instance embeddings from the uni-modal tokens [MAViL §3.2], [batch, width] each. */
function embed(
  config: ModelConfig,
  parameters: Parameters,
  encoded: PerModality<tf.Tensor3D>,
  options: ComputeOptions,
): PerModality<tf.Tensor2D> {
  const tokens = unimodalTokens(config, parameters, encoded, options);
  return perModality(modalities(config), (m) => meanPool(config, of(tokens, m)));
}

/** The contrastive terms that have a weight. */
function contrast(
  config: ModelConfig,
  parameters: Parameters,
  embeddings: PerModality<tf.Tensor2D>,
  secondView: PerModality<tf.Tensor3D>,
  options: PretrainOptions,
): Pick<LossTerms, 'interLoss' | 'intraLoss'> {
  const { interWeight, intraWeight } = config.loss;
  const gather = options.gatherNegatives ?? ((own: tf.Tensor2D) => own);
  const first = mapPresent(embeddings, gather);
  const { audio, video } = first;
  const second = (): PerModality<tf.Tensor2D> =>
    mapPresent(embed(config, parameters, secondView, options), gather);
  return {
    ...(audio && video && interWeight > 0 && { interLoss: interModalLoss(config, audio, video) }),
    ...(intraWeight > 0 && { intraLoss: intraModalLoss(config, first, second()) }),
  };
}

function perModality<T>(present: readonly Modality[], make: (m: Modality) => T): PerModality<T> {
  return Object.fromEntries(present.map((modality) => [modality, make(modality)]));
}

/** The value of a modality the model has. */
function of<T>(values: PerModality<T>, modality: Modality): T {
  return values[modality] as T;
}
