// SPDX-License-Identifier: Apache-2.0
// @diffmavil/core: what tfjs-core lacks for training transformers.
import './register-gradients.ts';

export {
  valueAndGrads,
  withoutGradients,
  type ParameterRecord,
  type ValueAndGrads,
  type ValueAndGradsOptions,
} from './autodiff.ts';
export { checkpoint } from './checkpoint.ts';
export * from './errors.ts';
export * from './ops/index.ts';
export {
  fold,
  keysTensorData,
  makeKey,
  normals,
  permutation,
  uniforms,
  uniformStream,
  type Key,
} from './random.ts';
export { formatShape, shapeOf, type ShapeNames } from './shapes.ts';
export { disposeTree, mapTensors, tensorsIn } from './trees.ts';
