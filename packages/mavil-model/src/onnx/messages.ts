// SPDX-License-Identifier: Apache-2.0
// The part of ONNX's protobuf schema (onnx.proto, IR version 8) that a graph of float weights needs, written by field number.
// Messages are plain objects; `writeModel` is the only way out.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A dimension: a number, or the name of one that is known at run time only. */
export type Dimension = number | string;

/** A float32 input or output of a graph. */
export interface ValueInfo {
  readonly name: string;
  readonly shape: readonly Dimension[];
}

/** A constant: float32 or int64, row-major. */
export interface Initializer {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** An attribute: whole numbers as 'int', others as 'float'. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] };

export interface Node {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly initializers: readonly Initializer[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

export interface Model {
  readonly graph: Graph;
  readonly producer: string;
  /** Version of the default operator set. */
  readonly opset: number;
  /** Strings by name. */
  readonly metadata: Readonly<Record<string, string>>;
}

const irVersion = 8;
const floatType = 1;
const int64Type = 7;
const attributeTypes = { float: 1, int: 2, ints: 7 } as const;

/** The bytes of an .onnx file (ModelProto). */
export function writeModel({ graph, producer, opset, metadata }: Model): Uint8Array {
  const w = new BinaryWriter();
  integer(w, 1, irVersion);
  text(w, 2, producer);
  message(w, 7, () => writeGraph(w, graph));
  message(w, 8, () => {
    text(w, 1, '');
    integer(w, 2, opset);
  });
  for (const [key, value] of Object.entries(metadata)) {
    message(w, 14, () => {
      text(w, 1, key);
      text(w, 2, value);
    });
  }
  return w.finish();
}

function writeGraph(w: BinaryWriter, graph: Graph): void {
  for (const node of graph.nodes) message(w, 1, () => writeNode(w, node));
  text(w, 2, graph.name);
  for (const tensor of graph.initializers) message(w, 5, () => writeInitializer(w, tensor));
  for (const info of graph.inputs) message(w, 11, () => writeValueInfo(w, info));
  for (const info of graph.outputs) message(w, 12, () => writeValueInfo(w, info));
}

function writeNode(w: BinaryWriter, { type, inputs, outputs, attributes }: Node): void {
  for (const input of inputs) text(w, 1, input);
  for (const output of outputs) text(w, 2, output);
  text(w, 3, outputs[0] ?? '');
  text(w, 4, type);
  for (const [name, attribute] of Object.entries(attributes)) {
    message(w, 5, () => writeAttribute(w, name, attribute));
  }
}

function writeAttribute(w: BinaryWriter, name: string, attribute: Attribute): void {
  text(w, 1, name);
  switch (attribute.kind) {
    case 'float':
      w.tag(2, WireType.Bit32).float(attribute.value);
      break;
    case 'int':
      integer(w, 3, attribute.value);
      break;
    case 'ints':
      for (const value of attribute.value) integer(w, 8, value);
      break;
    default:
      attribute satisfies never;
  }
  integer(w, 20, attributeTypes[attribute.kind]);
}

function writeInitializer(w: BinaryWriter, { name, shape, data }: Initializer): void {
  for (const size of shape) integer(w, 1, size);
  integer(w, 2, data instanceof Float32Array ? floatType : int64Type);
  text(w, 8, name);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  w.tag(9, WireType.LengthDelimited).bytes(bytes);
}

function writeValueInfo(w: BinaryWriter, { name, shape }: ValueInfo): void {
  text(w, 1, name);
  const dimension = (size: Dimension): void => {
    if (typeof size === 'number') integer(w, 1, size);
    else text(w, 2, size);
  };
  // TypeProto.tensor_type { elem_type, shape { dim … } }
  message(w, 2, () =>
    message(w, 1, () => {
      integer(w, 1, floatType);
      message(w, 2, () => {
        for (const size of shape) message(w, 1, () => dimension(size));
      });
    }),
  );
}

function integer(w: BinaryWriter, field: number, value: number): void {
  w.tag(field, WireType.Varint).int64(value);
}

function text(w: BinaryWriter, field: number, value: string): void {
  w.tag(field, WireType.LengthDelimited).string(value);
}

function message(w: BinaryWriter, field: number, write: () => void): void {
  w.tag(field, WireType.LengthDelimited).fork();
  write();
  w.join();
}
