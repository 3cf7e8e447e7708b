// SPDX-License-Identifier: Apache-2.0
// Remembers the shape that a reduction was called with, so that its gradient need not keep the whole input alive for it.
//
// tfjs asks what to save for a gradient right after the kernel ran, and hands the kernel's attributes object, which tf.sum and tf.mean
// make anew for every call, to the gradient. A kernel that runs elsewhere, or an attributes object that was used for two shapes, saves
// the input as before.
import * as tf from '@tensorflow/tfjs-core';
import type { NamedAttrMap } from '@tensorflow/tfjs-core';

const shapes = new WeakMap<NamedAttrMap, readonly number[]>();
let noted = false;

/** Called by a reduction's kernel: with null when it starts, and with the shape of its input when it is done. */
export function noteInputShape(attrs: NamedAttrMap, shape: readonly number[] | null): void {
  noted = false;
  if (shape === null || !('axis' in attrs)) return;
  const known = shapes.get(attrs);
  if (known !== undefined && !tf.util.arraysEqual([...known], [...shape])) return;
  shapes.set(attrs, [...shape]);
  noted = true;
}

/** Whether the reduction that ran last left its shape here. */
export function isShapeNoted(): boolean {
  return noted;
}

/** The shape that these attributes were used with. */
export function notedShape(attrs: NamedAttrMap): readonly number[] | undefined {
  return shapes.get(attrs);
}
