// SPDX-License-Identifier: Apache-2.0
// Builds an ONNX graph node by node. Values are named after the module that makes them, so that a viewer shows the model.
import { CheckpointError } from '@diffmavil/core';

import type { Attribute, Dimension, Graph, Initializer, Node, ValueInfo } from './messages.ts';

/** A weight on the host, row-major. */
export interface HostWeight {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The name of a tensor in the graph. */
export type Value = string;

/** Attributes: whole numbers, lists of them; a number with a fraction must say that it is a float. */
export type Attributes = Readonly<
  Record<string, number | readonly number[] | { readonly float: number }>
>;

export interface GraphBuilder {
  /** A float32 input; a dimension by name is known at run time only. */
  input(name: string, shape: readonly Dimension[]): Value;
  /** A weight under its own name. Throws CheckpointError when the model lacks it. */
  weight(name: string): Value;
  /** A weight matrix [out, in] of a linear layer, stored as [in, out]. */
  matrix(name: string): Value;
  /** A float32 constant. */
  constant(name: string, shape: readonly number[], data: Float32Array): Value;
  /** An int64 vector. */
  integers(...values: number[]): Value;
  /** A float32 scalar. */
  scalar(value: number): Value;
  /** A node with one output, which belongs to the module `at`. */
  node(at: string, type: string, inputs: readonly Value[], attributes?: Attributes): Value;
  /** A node with several outputs. */
  nodes(
    at: string,
    type: string,
    inputs: readonly Value[],
    outputs: number,
    attributes?: Attributes,
  ): Value[];
  /** Names a value as an output of the graph. */
  output(name: string, value: Value, shape: readonly Dimension[]): void;
  build(name: string): Graph;
}

/** An empty graph over weights by name. */
export function graphBuilder(weights: Readonly<Record<string, HostWeight>>): GraphBuilder {
  const nodes: Node[] = [];
  const initializers = new Map<string, Initializer>();
  const [inputs, outputs]: [ValueInfo[], ValueInfo[]] = [[], []];
  const fresh = freshNames();
  const add = (name: string, make: () => Omit<Initializer, 'name'>): Value => {
    if (!initializers.has(name)) initializers.set(name, { name, ...make() });
    return name;
  };
  const builder: GraphBuilder = {
    input: (name, shape) => {
      inputs.push({ name, shape });
      return name;
    },
    weight: (name) => add(name, () => weightOf(weights, name)),
    matrix: (name) => add(name, () => transposed(weightOf(weights, name))),
    constant: (name, shape, data) => add(name, () => ({ shape, data })),
    integers: (...values) => {
      const data = BigInt64Array.from(values, BigInt);
      return add(`int64 ${values.join(' ')}`, () => ({ shape: [values.length], data }));
    },
    scalar: (value) => add(`float ${value}`, () => ({ shape: [], data: Float32Array.of(value) })),
    node: (at, type, given, attributes) => builder.nodes(at, type, given, 1, attributes)[0] ?? '',
    nodes: (at, type, given, count, attributes = {}) => {
      const made = Array.from({ length: count }, () => fresh(`${at}.${type}`));
      nodes.push({ type, inputs: given, outputs: made, attributes: tagged(attributes) });
      return made;
    },
    output: (name, value, shape) => {
      nodes.push({ type: 'Identity', inputs: [value], outputs: [name], attributes: {} });
      outputs.push({ name, shape });
    },
    build: (name) => ({ name, nodes, initializers: [...initializers.values()], inputs, outputs }),
  };
  return builder;
}

/** Names that differ: a second `x` is `x_1`. */
function freshNames(): (name: string) => string {
  const taken = new Map<string, number>();
  return (name) => {
    const count = taken.get(name) ?? 0;
    taken.set(name, count + 1);
    return count === 0 ? name : `${name}_${count}`;
  };
}

function weightOf(weights: Readonly<Record<string, HostWeight>>, name: string): HostWeight {
  const weight = weights[name];
  if (weight !== undefined) return weight;
  throw new CheckpointError(`exportOnnx: expected a weight named ${name}, got none`);
}

function tagged(attributes: Attributes): Record<string, Attribute> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]): [string, Attribute] => {
      if (typeof value === 'number') return [name, { kind: 'int', value }];
      if ('float' in value) return [name, { kind: 'float', value: value.float }];
      return [name, { kind: 'ints', value }];
    }),
  );
}

/** [out, in] -> [in, out], in squares that fit the cache. */
function transposed({ shape, data }: HostWeight): HostWeight {
  const [rows = 0, columns = 0] = shape;
  const flipped = new Float32Array(data.length);
  const side = 32;
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      for (let row = top; row < Math.min(top + side, rows); row++) {
        for (let column = left; column < Math.min(left + side, columns); column++) {
          flipped[column * rows + row] = data[row * columns + column] ?? 0;
        }
      }
    }
  }
  return { shape: [columns, rows], data: flipped };
}
