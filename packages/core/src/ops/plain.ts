// SPDX-License-Identifier: Apache-2.0
// Building blocks of the composed kernels, in the forms that tfjs's cpu and wasm backends both run
// well. Measured, ns per element: on cpu a broadcast over an inner axis costs 80-90, a transpose
// 30-140, a slice of the last axis 310, but a product of one inner column 26, a broadcast of a
// trailing vector 10, a product with a transposed side no more than one without; on wasm everything
// but products with a transposed side (12-40x slower than without) is cheap.
//
// R rows, C columns, K inner size of a product. All matrices are [rows, columns].
import * as tf from '@tensorflow/tfjs-core';

/** Whether transposing first and multiplying without flags is the fast way. */
const transposesFirst = (): boolean => tf.getBackend() === 'wasm';

/** a [R, K] times b [C, K] transposed: [R, C]. */
export function productNT(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  return transposesFirst() ? tf.matMul(a, tf.transpose(b)) : tf.matMul(a, b, false, true);
}

/** a [K, R] transposed times b [K, C]: [R, C]. */
export function productTN(a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  return transposesFirst() ? tf.matMul(tf.transpose(a), b) : tf.matMul(a, b, true);
}

/** x [..., C] as [R, C]. */
export function asRows(x: tf.Tensor): tf.Tensor2D {
  return tf.reshape(x, [-1, x.shape[x.shape.length - 1] ?? 1]);
}

/** A column [R, 1] repeated over `columns`: [R, columns]. */
export function spread(column: tf.Tensor, columns: number): tf.Tensor2D {
  return tf.matMul(tf.reshape(column, [-1, 1]), tf.ones([1, columns]));
}

/** Means of the rows of x [R, C]: [R, 1]. */
export function rowMeans(x: tf.Tensor2D): tf.Tensor2D {
  return tf.mul(tf.sum(x, 1, true), 1 / x.shape[1]);
}

/** Sums of the columns of x [R, C]: [C]. */
export function columnSums(x: tf.Tensor2D): tf.Tensor1D {
  return tf.reshape(tf.matMul(tf.ones([1, x.shape[0]]), x), [-1]);
}

/** x [batch, ...] times a factor [batch] for each sample; same shape. */
export function scaleSamples(x: tf.Tensor, factor: tf.Tensor): tf.Tensor {
  const batch = x.shape[0] ?? 1;
  const flat = tf.reshape<tf.Rank.R2>(x, [batch, -1]);
  return tf.reshape(tf.mul(flat, spread(factor, flat.shape[1])), x.shape);
}

/** x [R, K] times weight [C, K] transposed, plus bias [C]: [R, C]. */
export function affine(x: tf.Tensor2D, weight: tf.Tensor, bias: tf.Tensor | null): tf.Tensor2D {
  const y = productNT(x, weight as tf.Tensor2D);
  return bias === null ? y : tf.add(y, bias);
}

/** Standardized rows: (x - mean) * rstd, with mean and rstd [R, 1]. */
export function standardize(x: tf.Tensor2D, mean: tf.Tensor, rstd: tf.Tensor): tf.Tensor2D {
  const columns = x.shape[1];
  return tf.mul(tf.sub(x, spread(mean, columns)), spread(rstd, columns));
}

/**
 * Layer normalization of the rows of x [R, C]: y [R, C], mean [R, 1], rstd [R, 1] (biased
 * variance).
 */
export function normalizeRows(
  x: tf.Tensor2D,
  weight: tf.Tensor,
  bias: tf.Tensor,
  epsilon: number,
): { y: tf.Tensor2D; mean: tf.Tensor2D; rstd: tf.Tensor2D } {
  const columns = x.shape[1];
  const mean = rowMeans(x);
  const centred: tf.Tensor2D = tf.sub(x, spread(mean, columns));
  const rstd: tf.Tensor2D = tf.rsqrt(tf.add(rowMeans(tf.square(centred)), epsilon));
  const standardized = tf.mul(centred, spread(rstd, columns));
  return { y: tf.add(tf.mul(standardized, weight), bias), mean, rstd };
}

/** Gradient of `normalizeRows`, from the standardized rows. */
export function normalizeRowsGrad(
  dy: tf.Tensor2D,
  standardized: tf.Tensor2D,
  rstd: tf.Tensor,
  weight: tf.Tensor,
): { dx: tf.Tensor2D; dWeight: tf.Tensor1D; dBias: tf.Tensor1D } {
  const columns = dy.shape[1];
  const dyStandardized: tf.Tensor2D = tf.mul(dy, standardized);
  const dStandardized: tf.Tensor2D = tf.mul(dy, weight);
  const along = rowMeans(tf.mul<tf.Tensor2D>(dStandardized, standardized));
  // dx = rstd * (dStandardized - mean(dStandardized) - standardized * mean(dStandardized *
  // standardized))
  const centred = tf.sub(dStandardized, spread(rowMeans(dStandardized), columns));
  const dx: tf.Tensor2D = tf.mul(
    tf.sub(centred, tf.mul(standardized, spread(along, columns))),
    spread(rstd, columns),
  );
  return { dx, dWeight: columnSums(dyStandardized), dBias: columnSums(dy) };
}

/** x times the normal distribution function of x, the exact (erf) GELU. */
export function geluOf<T extends tf.Tensor>(x: T): T {
  return tf.mul(x, normalCdf(x));
}

/** GELU and its slope at x. */
export function geluWithSlope<T extends tf.Tensor>(x: T): { value: T; slope: T } {
  const cdf = normalCdf(x);
  const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return { value: tf.mul(x, cdf), slope: tf.add(cdf, tf.mul(x, density)) };
}

function normalCdf<T extends tf.Tensor>(x: T): T {
  return tf.add(tf.mul(tf.erf(tf.mul(x, Math.SQRT1_2)), 0.5), 0.5);
}

/** Rows of x [batch, tokens, width] at indices [batch, count]: [batch, count, width]. */
export function gatherRows(x: tf.Tensor3D, indices: tf.Tensor2D): tf.Tensor3D {
  const [batch, tokens, width] = x.shape;
  const rows = tf.reshape<tf.Rank.R2>(x, [batch * tokens, width]);
  const gathered = tf.gather(rows, flatIndices(indices, tokens));
  return tf.reshape(gathered, [batch, indices.shape[1], width]);
}

/** x [batch, count, width] added at indices [batch, count] to zeros [batch, tokens, width]. */
export function scatterRows(x: tf.Tensor3D, indices: tf.Tensor2D, tokens: number): tf.Tensor3D {
  const [batch, count, width] = x.shape;
  const rows = tf.reshape<tf.Rank.R2>(x, [batch * count, width]);
  const places = tf.reshape(flatIndices(indices, tokens), [batch * count, 1]);
  const scattered = tf.scatterND(places, rows, [batch * tokens, width]);
  return tf.reshape(scattered, [batch, tokens, width]);
}

/** Indices [batch, count] into the rows of all samples: [batch * count]. */
function flatIndices(indices: tf.Tensor2D, tokens: number): tf.Tensor1D {
  const [batch] = indices.shape;
  const starts = Int32Array.from({ length: batch }, (_, sample) => sample * tokens);
  return tf.reshape(tf.add(indices, tf.tensor2d(starts, [batch, 1], 'int32')), [-1]);
}
