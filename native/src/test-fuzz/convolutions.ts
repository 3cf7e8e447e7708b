// SPDX-License-Identifier: Apache-2.0
// Convolutions. tfjs sums in float64, ours in float32: bounds grow with the terms of a sum.
import { kernelCase } from './case.ts';
import type { Bound, Draw } from './case.ts';
import { sizeOf } from './draw.ts';
import type { Fuzz } from './draw.ts';

const rounds = 25;

type Padding = 'same' | 'valid' | number | [number, number][];

interface Case {
  readonly x: number[];
  readonly filter: number[];
  readonly y: number[];
  readonly attrs: {
    readonly strides: number[];
    readonly dilations: number[];
    readonly pad: Padding;
    readonly dataFormat: string;
  };
}

/** The windows of an axis, as TensorFlow counts them. */
function windows(size: number, taps: number, stride: number, pad: Padding, axis: number): number {
  if (pad === 'same') return Math.ceil(size / stride);
  const [before, after] = Array.isArray(pad) ? pad[axis]! : [pad, pad];
  const padding = pad === 'valid' ? 0 : (before as number) + (after as number);
  return Math.floor((size + padding - taps) / stride) + 1;
}

/** Sizes that give at least one window; `dilates` as a gradient may not. */
function draw(fuzz: Fuzz, axes: number, dilates: boolean, isDepthwise: boolean): Case {
  const dilated = dilates && fuzz.integer(0, 2) === 0;
  const dilations = Array.from({ length: axes }, () => (dilated ? fuzz.integer(1, 3) : 1));
  const strides = Array.from({ length: axes }, () => (dilated ? 1 : fuzz.integer(1, 3)));
  // Of three axes tfjs takes one number; of two it counts the columns of one number by the rows of the filter.
  const number = fuzz.integer(0, 2);
  const explicit = [[0, 0], ...strides.map(() => [fuzz.integer(0, 2), fuzz.integer(0, 2)]), [0, 0]];
  const pad = fuzz.pick<Padding>([
    'same',
    'valid',
    ...(axes === 2 ? [explicit as [number, number][]] : [number]),
  ]);
  const taps = strides.map(() => fuzz.integer(1, axes === 2 ? 4 : 3));
  const spans = taps.map((count, axis) => (count - 1) * dilations[axis]! + 1);
  const lengths = spans.map((span) => span + fuzz.pick([0, 1, 3, 6, axes === 2 ? 15 : 5]));
  const [batch, from] = [fuzz.pick([0, 1, 2, 3]), fuzz.pick([1, 2, 3, 8, 16, 19])];
  const to = isDepthwise ? fuzz.integer(1, 3) : fuzz.pick([1, 2, 5, 16, 33]);
  const out = lengths.map((size, axis) =>
    windows(size, spans[axis]!, strides[axis]!, pad, axis + 1),
  );
  return {
    x: [batch, ...lengths, from],
    filter: [...taps, from, to],
    y: [batch, ...out, isDepthwise ? from * to : to],
    attrs: { strides, dilations, pad, dataFormat: axes === 2 ? 'NHWC' : 'NDHWC' },
  };
}

const big: Case[] = [
  {
    // Two strips of patches.
    x: [2, 40, 41, 48],
    filter: [3, 3, 48, 2],
    y: [2, 40, 41, 2],
    attrs: { strides: [1, 1], dilations: [1, 1], pad: 'same', dataFormat: 'NHWC' },
  },
  {
    x: [1, 75, 61, 3],
    filter: [7, 7, 3, 20],
    y: [1, 38, 31, 20],
    attrs: { strides: [2, 2], dilations: [1, 1], pad: 'same', dataFormat: 'NHWC' },
  },
  {
    x: [3, 20, 20, 48],
    filter: [1, 1, 48, 40],
    y: [3, 20, 20, 40],
    attrs: { strides: [1, 1], dilations: [1, 1], pad: 'valid', dataFormat: 'NHWC' },
  },
];

function sizes(fuzz: Fuzz, axes: number, dilates: boolean, isDepthwise: boolean): Case[] {
  const drawn = Array.from({ length: rounds }, () => draw(fuzz, axes, dilates, isDepthwise));
  return [...(axes === 2 && !isDepthwise ? big : []), ...drawn];
}

/** Sums of so many terms of at most 1. */
const sumBound = (terms: number): Bound => ({ abs: 2e-7 * Math.max(4, terms) });

/** The terms of an element of y. */
const forwardBound = ({ filter }: Case): Bound => sumBound(sizeOf(filter.slice(0, -1)));

/** Padding is multiplied as zeros: a filter, or a dy of its gradient, that is not finite is for windows without padding. */
const wildIf = ({ attrs }: Case): number => (attrs.pad === 'valid' ? 0.01 : 0);

function forward(name: string, axes: number, isDepthwise = false): Draw {
  return function* cases(fuzz) {
    for (const one of sizes(fuzz, axes, true, isDepthwise)) {
      const x = fuzz.plain(one.x, fuzz.pick([0, 0.01]));
      const filter = fuzz.plain(one.filter, fuzz.pick([0, wildIf(one)]));
      yield kernelCase(name, { x, filter }, one.attrs, forwardBound(one));
    }
    if (axes === 2 && !isDepthwise) {
      for (const one of channelsFirst(fuzz)) {
        const inputs = { x: fuzz.plain(one.x), filter: fuzz.plain(one.filter) };
        yield kernelCase(name, inputs, one.attrs, forwardBound(one));
      }
    }
  };
}

function inputGrad(name: string, axes: number, isDepthwise = false): Draw {
  return function* cases(fuzz) {
    const first = axes === 2 && !isDepthwise ? channelsFirst(fuzz) : [];
    for (const one of [...sizes(fuzz, axes, false, isDepthwise), ...first]) {
      const dy = fuzz.plain(one.y, fuzz.pick([0, 0.01]));
      const filter = fuzz.plain(one.filter, fuzz.pick([0, 0.01]));
      const attrs = { ...one.attrs, inputShape: one.x };
      yield kernelCase(name, { dy, filter }, attrs, sumBound(sizeOf(one.filter)));
    }
  };
}

function filterGrad(name: string, axes: number, isDepthwise = false): Draw {
  return function* cases(fuzz) {
    const first = axes === 2 && !isDepthwise ? channelsFirst(fuzz) : [];
    for (const one of [...sizes(fuzz, axes, false, isDepthwise), ...first]) {
      const x = fuzz.plain(one.x, fuzz.pick([0, 0.001]));
      const dy = fuzz.plain(one.y, fuzz.pick([0, wildIf(one) / 10]));
      const attrs = { ...one.attrs, filterShape: one.filter };
      yield kernelCase(name, { x, dy }, attrs, sumBound(sizeOf(one.y)));
    }
  };
}

const activations = ['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'];

function fused(name: string, isDepthwise = false): Draw {
  return function* cases(fuzz) {
    const first = isDepthwise ? [] : channelsFirst(fuzz);
    for (const one of [...sizes(fuzz, 2, true, isDepthwise), ...first]) {
      const activation = fuzz.pick(activations);
      const isFirst = one.attrs.dataFormat === 'NCHW';
      const channels = one.y[isFirst ? 1 : 3]!;
      const wide = isFirst ? [] : [[1, 1, channels]];
      const bias = fuzz.plain(fuzz.pick([[], [1], [channels], ...wide]));
      const inputs = {
        x: fuzz.plain(one.x),
        filter: fuzz.plain(one.filter),
        ...(fuzz.integer(0, 2) === 0 ? {} : { bias }),
        ...(activation === 'prelu' ? { preluActivationWeights: fuzz.plain([channels]) } : {}),
      };
      const attrs = { ...one.attrs, activation, leakyreluAlpha: 0.3 };
      yield kernelCase(name, inputs, attrs, forwardBound(one));
    }
  };
}

/** The same sizes with channels before rows and columns. */
function channelsFirst(fuzz: Fuzz): Case[] {
  const order = [0, 3, 1, 2];
  const turned = <T>(values: readonly T[]): T[] => order.map((axis) => values[axis]!);
  return sizes(fuzz, 2, false, false)
    .slice(big.length)
    .map(({ x, filter, y, attrs }) => {
      const pad = Array.isArray(attrs.pad) ? turned(attrs.pad) : attrs.pad;
      return { x: turned(x), filter, y: turned(y), attrs: { ...attrs, pad, dataFormat: 'NCHW' } };
    });
}

export const convCases: Readonly<Record<string, Draw>> = {
  Conv2D: forward('Conv2D', 2),
  Conv2DBackpropFilter: filterGrad('Conv2DBackpropFilter', 2),
  Conv2DBackpropInput: inputGrad('Conv2DBackpropInput', 2),
  Conv3D: forward('Conv3D', 3),
  Conv3DBackpropFilterV2: filterGrad('Conv3DBackpropFilterV2', 3),
  Conv3DBackpropInputV2: inputGrad('Conv3DBackpropInputV2', 3),
  DepthwiseConv2dNative: forward('DepthwiseConv2dNative', 2, true),
  DepthwiseConv2dNativeBackpropFilter: filterGrad('DepthwiseConv2dNativeBackpropFilter', 2, true),
  DepthwiseConv2dNativeBackpropInput: inputGrad('DepthwiseConv2dNativeBackpropInput', 2, true),
  FusedConv2D: fused('FusedConv2D'),
  FusedDepthwiseConv2D: fused('FusedDepthwiseConv2D', true),
};
