// SPDX-License-Identifier: Apache-2.0
// infoNce: -mean over i of log softmax over j of cosine(query i, key j) / temperature, at j = i:
// each query against all keys of the batch, in this direction only. [MAViL eq. 2]
//
// B batch, C width.
// Attribute: temperature.
// Kernel DmInfoNce: queries [B, C], keys [B, C] -> loss [].
// Kernel DmInfoNceGrad: dy [], queries, keys -> dQueries [B, C], dKeys [B, C].
import * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from '../errors.ts';
import { shapeOf } from '../shapes.ts';
import { defineGradient, defineKernel, output, runKernel } from './kernel.ts';
import { productNT, productTN, spread } from './plain.ts';

/** The least length that a vector is divided by; a zero vector stays zero. */
const shortest = 1e-12;

export interface InfoNceOptions {
  /** Divides the cosines; above 0. */
  readonly temperature: number;
}

type Inputs = { readonly queries: tf.Tensor; readonly keys: tf.Tensor };

const kernel = defineKernel<Inputs, InfoNceOptions>({
  name: 'DmInfoNce',
  composed: ({ queries, keys }, { temperature }) => {
    const [q, k] = [unit(queries as tf.Tensor2D), unit(keys as tf.Tensor2D)];
    const scores = tf.mul<tf.Tensor2D>(productNT(q.rows, k.rows), 1 / temperature);
    const positives = tf.mul(tf.sum(tf.mul(q.rows, k.rows), 1), 1 / temperature);
    return [tf.mean(tf.sub(tf.logSumExp(scores, 1), positives))];
  },
});

const gradKernel = defineKernel<Inputs & { readonly dy: tf.Tensor }, InfoNceOptions>({
  name: 'DmInfoNceGrad',
  composed: ({ dy, queries, keys }, { temperature }) => {
    const [q, k] = [unit(queries as tf.Tensor2D), unit(keys as tf.Tensor2D)];
    const [batch] = q.rows.shape;
    const scores = tf.mul<tf.Tensor2D>(productNT(q.rows, k.rows), 1 / temperature);
    const excess = tf.sub(tf.softmax(scores), tf.eye(batch));
    const dScores = tf.mul<tf.Tensor2D>(excess, tf.mul(dy, 1 / (batch * temperature)));
    return [unitGrad(tf.matMul(dScores, k.rows), q), unitGrad(productTN(dScores, q.rows), k)];
  },
});

defineGradient(kernel, {
  inputs: ['queries', 'keys'],
  gradient: (dy, saved, attributes) => {
    const [queries, keys] = runKernel(gradKernel, { dy, ...saved }, attributes);
    return { queries, keys };
  },
});

/**
 * Contrastive loss of queries against keys, positives on the diagonal.
 *
 * @param queries [batch, width]
 * @param keys [batch, width]
 * @returns []
 * @throws ShapeError when the shapes differ. ConfigError when the temperature is not above 0.
 */
export function infoNce(queries: tf.Tensor, keys: tf.Tensor, options: InfoNceOptions): tf.Scalar {
  check(queries, keys, options);
  const { temperature } = options;
  return output(runKernel(kernel, { queries, keys }, { temperature })) as tf.Scalar;
}

/** `infoNce` in plain tfjs ops with tfjs's own gradient. */
export function infoNceReference(
  queries: tf.Tensor,
  keys: tf.Tensor,
  options: InfoNceOptions,
): tf.Scalar {
  check(queries, keys, options);
  return tf.tidy(() => {
    const [q, k] = [queries, keys].map((x) =>
      tf.div(x, tf.maximum(tf.sqrt(tf.sum(tf.square(x), 1, true)), shortest)),
    );
    if (q === undefined || k === undefined) throw new Error('expected two sides');
    const scores = tf.div(tf.matMul(q, k, false, true), options.temperature);
    // Not logSoftmax: on the wasm backend it leaks a buffer.
    const logits = tf.sub(scores, tf.logSumExp(scores, 1, true));
    const diagonal = tf.sum(tf.mul(logits, tf.eye(queries.shape[0] ?? 0)), 1);
    return tf.neg<tf.Scalar>(tf.mean(diagonal));
  });
}

interface UnitRows {
  readonly rows: tf.Tensor2D;
  /** 1 / length, [B, 1]. */
  readonly inverse: tf.Tensor;
}

function unit(x: tf.Tensor2D): UnitRows {
  const length = tf.sqrt(tf.sum(tf.square(x), 1, true));
  const inverse = tf.reciprocal(tf.maximum(length, shortest));
  return { rows: tf.mul(x, spread(inverse, x.shape[1])), inverse };
}

/** Gradient of x / |x| from that of the unit rows: the part across them, divided by |x|. */
function unitGrad(dy: tf.Tensor2D, { rows, inverse }: UnitRows): tf.Tensor2D {
  const [, width] = rows.shape;
  const along = tf.sum(tf.mul(dy, rows), 1, true);
  return tf.mul(tf.sub(dy, tf.mul(rows, spread(along, width))), spread(inverse, width));
}

function check(queries: tf.Tensor, keys: tf.Tensor, { temperature }: InfoNceOptions): void {
  const { batch, width } = shapeOf(queries, '[batch, width]', 'infoNce: queries');
  shapeOf(keys, '[batch, width]', 'infoNce: keys', { batch, width });
  if (!(temperature > 0)) {
    throw new ConfigError(`infoNce: expected a temperature above 0, got ${temperature}`);
  }
}
