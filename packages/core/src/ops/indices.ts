// SPDX-License-Identifier: Apache-2.0
// Checks of integer inputs.
import type * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors.ts';
import { shapeOf, type ShapeNames } from '../shapes.ts';

/**
 * `shapeOf`, and the dtype int32.
 *
 * @throws ShapeError `<where>: expected int32, got float32`.
 */
export function checkIndices<const Spec extends string>(
  indices: tf.Tensor,
  spec: Spec,
  where: string,
  known: Readonly<Record<string, number>>,
): Record<ShapeNames<Spec>, number> {
  if (indices.dtype !== 'int32') {
    throw new ShapeError(`${where}: expected int32, got ${indices.dtype}`);
  }
  return shapeOf(indices, spec, where, known);
}
