// SPDX-License-Identifier: Apache-2.0
// Convolutions against tfjs's cpu backend, which sums in float64 where ours sum in float32: bounds grow with the terms of a sum.
import { beforeEach, describe, it } from 'vitest';
import { expectSameKernel, Fuzz } from '../test-fuzz.ts';
import type { Bound } from '../test-fuzz.ts';
import { noAddon, skipNote, useNative } from '../test-native.ts';

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
  const sizes = spans.map((span) => span + fuzz.pick([0, 1, 3, 6, axes === 2 ? 15 : 5]));
  const [batch, from] = [fuzz.pick([0, 1, 2, 3]), fuzz.pick([1, 2, 3, 8, 16, 19])];
  const to = isDepthwise ? fuzz.integer(1, 3) : fuzz.pick([1, 2, 5, 16, 33]);
  const out = sizes.map((size, axis) => windows(size, spans[axis]!, strides[axis]!, pad, axis + 1));
  return {
    x: [batch, ...sizes, from],
    filter: [...taps, from, to],
    y: [batch, ...out, isDepthwise ? from * to : to],
    attrs: { strides, dilations, pad, dataFormat: axes === 2 ? 'NHWC' : 'NDHWC' },
  };
}

const big: Case[] = [
  {
    // Two strips of patches.
    x: [2, 40, 41, 48],
    filter: [3, 3, 48, 5],
    y: [2, 40, 41, 5],
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

function cases(fuzz: Fuzz, axes: number, dilates: boolean, isDepthwise = false): Case[] {
  const drawn = Array.from({ length: rounds }, () => draw(fuzz, axes, dilates, isDepthwise));
  return [...(axes === 2 && !isDepthwise ? big : []), ...drawn];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, length) => n * length, 1);

/** Sums of so many terms of at most 1. */
const sumBound = (terms: number): Bound => ({ abs: 2e-7 * Math.max(4, terms) });

/** Padding is multiplied as zeros: a filter, or a dy of its gradient, that is not finite is for windows without padding. */
const wildIf = ({ attrs }: Case): number => (attrs.pad === 'valid' ? 0.01 : 0);

const kinds = [
  ['Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter', 2, false],
  ['Conv3D', 'Conv3DBackpropInputV2', 'Conv3DBackpropFilterV2', 3, false],
  [
    'DepthwiseConv2dNative',
    'DepthwiseConv2dNativeBackpropInput',
    'DepthwiseConv2dNativeBackpropFilter',
    2,
    true,
  ],
] as const;

describe.skipIf(noAddon)(`fuzz of convolutions${skipNote}`, () => {
  beforeEach(useNative);

  it.each(kinds)('%s agrees with tfjs', async (name, _, __, axes, isDepthwise) => {
    const fuzz = new Fuzz(name);
    for (const one of cases(fuzz, axes, true, isDepthwise)) {
      const x = fuzz.plain(one.x, fuzz.pick([0, 0.01]));
      const filter = fuzz.plain(one.filter, fuzz.pick([0, wildIf(one)]));
      const bound = sumBound(sizeOf(one.filter) / one.filter.at(-1)!);
      await expectSameKernel(name, { x, filter }, one.attrs, bound);
    }
  });

  it.each(kinds)('%s: %s agrees with tfjs', async (_, name, __, axes, isDepthwise) => {
    const fuzz = new Fuzz(name);
    for (const one of cases(fuzz, axes, false, isDepthwise)) {
      const dy = fuzz.plain(one.y, fuzz.pick([0, 0.01]));
      const filter = fuzz.plain(one.filter, fuzz.pick([0, 0.01]));
      const attrs = { ...one.attrs, inputShape: one.x };
      await expectSameKernel(name, { dy, filter }, attrs, sumBound(sizeOf(one.filter)));
    }
  });

  it.each(kinds)('%s: %s, %s agrees with tfjs', async (_, __, name, axes, isDepthwise) => {
    const fuzz = new Fuzz(name);
    for (const one of cases(fuzz, axes, false, isDepthwise)) {
      const x = fuzz.plain(one.x, fuzz.pick([0, 0.001]));
      const dy = fuzz.plain(one.y, fuzz.pick([0, wildIf(one) / 10]));
      const attrs = { ...one.attrs, filterShape: one.filter };
      await expectSameKernel(name, { x, dy }, attrs, sumBound(sizeOf(one.y) / one.y.at(-1)!));
    }
  });

  it.each(['FusedConv2D', 'FusedDepthwiseConv2D'])('%s agrees with tfjs', async (name) => {
    const fuzz = new Fuzz(name);
    const isDepthwise = name !== 'FusedConv2D';
    for (const one of cases(fuzz, 2, true, isDepthwise)) {
      const activation = fuzz.pick([
        'linear',
        'relu',
        'relu6',
        'elu',
        'sigmoid',
        'leakyrelu',
        'prelu',
      ]);
      const channels = one.y.at(-1)!;
      const bias = fuzz.plain(fuzz.pick([[], [1], [channels], [1, 1, channels]]));
      const inputs = {
        x: fuzz.plain(one.x),
        filter: fuzz.plain(one.filter),
        ...(fuzz.integer(0, 2) === 0 ? {} : { bias }),
        ...(activation === 'prelu' ? { preluActivationWeights: fuzz.plain([channels]) } : {}),
      };
      const bound = sumBound(sizeOf(one.filter) / one.filter.at(-1)!);
      await expectSameKernel(
        name,
        inputs,
        { ...one.attrs, activation, leakyreluAlpha: 0.3 },
        bound,
      );
    }
  });

  it('channels first agree with tfjs', async () => {
    const fuzz = new Fuzz('channels first');
    const first = (shape: readonly number[]): number[] => [0, 3, 1, 2].map((axis) => shape[axis]!);
    for (const one of cases(fuzz, 2, false).slice(2)) {
      const pad = Array.isArray(one.attrs.pad)
        ? [0, 3, 1, 2].map((axis) => (one.attrs.pad as [number, number][])[axis]!)
        : one.attrs.pad;
      const attrs = { ...one.attrs, pad, dataFormat: 'NCHW' };
      const [x, dy] = [fuzz.plain(first(one.x)), fuzz.plain(first(one.y))];
      const [filter, bias] = [fuzz.plain(one.filter), fuzz.plain([one.filter.at(-1)!])];
      const bound = sumBound(sizeOf(one.filter));
      await expectSameKernel('Conv2D', { x, filter }, attrs, bound);
      await expectSameKernel('FusedConv2D', { x, filter, bias }, attrs, bound);
      const ofInput = { ...attrs, inputShape: x.shape as number[] };
      await expectSameKernel('Conv2DBackpropInput', { dy, filter }, ofInput, bound);
      const ofFilter = { ...attrs, filterShape: one.filter };
      await expectSameKernel('Conv2DBackpropFilter', { x, dy }, ofFilter, sumBound(sizeOf(one.y)));
    }
  });
});
