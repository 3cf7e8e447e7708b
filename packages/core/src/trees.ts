// SPDX-License-Identifier: Apache-2.0
// Trees of tensors: nested records, arrays and Maps, as parameters, gradients and outputs come.
import { Tensor } from '@tensorflow/tfjs-core';

/** Every tensor in nested records, arrays and Maps, once each, in order; other values are passed over. */
export function tensorsIn(tree: unknown): Tensor[] {
  const found = new Set<Tensor>();
  collect(tree, found);
  return [...found];
}

/** Disposes every tensor in nested records, arrays and Maps; a tensor that is disposed already is left alone. */
export function disposeTree(tree: unknown): void {
  for (const tensor of tensorsIn(tree)) tensor.dispose();
}

/** The same records and arrays with `f` of each tensor in its place; other values, Maps among them, are taken over as they are. */
export function mapTensors<Tree>(tree: Tree, f: (tensor: Tensor) => Tensor): Tree {
  const mapped = (value: unknown): unknown => {
    if (value instanceof Tensor) return f(value);
    if (Array.isArray(value)) return value.map(mapped);
    if (
      typeof value !== 'object' ||
      value === null ||
      Object.getPrototypeOf(value) !== Object.prototype
    )
      return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapped(inner)]));
  };
  return mapped(tree) as Tree;
}

function collect(tree: unknown, found: Set<Tensor>): void {
  if (typeof tree !== 'object' || tree === null || ArrayBuffer.isView(tree)) return;
  if (tree instanceof Tensor) {
    found.add(tree);
    return;
  }
  const values = tree instanceof Map ? tree.values() : Object.values(tree);
  for (const value of values) collect(value, found);
}
