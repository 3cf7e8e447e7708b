// SPDX-License-Identifier: Apache-2.0
// Convolutions of two and three axes, depthwise ones, and their gradients. float32; other dtypes are left to tfjs. Channels first is
// transposed to channels last and back, for depthwise convolutions too, where tfjs's own kernel takes it for channels last.
import { util } from '@tensorflow/tfjs-core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { activated, composed, isKnownActivation } from './compose.ts';
import type { Run } from './compose.ts';
import { conv2dGeometry, conv3dGeometry, depthwiseGeometry } from './conv-geometry.ts';
import type { GeometryOf } from './conv-geometry.ts';
import { input } from './kernel.ts';
import type { KernelCall, NativeKernel } from './kernel.ts';

const toLast = [0, 2, 3, 1];
const toFirst = [0, 3, 1, 2];

/** The ops of native/cpu of one kind of convolution. */
interface Family {
  readonly op: 'DmConv' | 'DmDepthwiseConv';
  readonly geometry: GeometryOf;
}

const conv2d: Family = { op: 'DmConv', geometry: conv2dGeometry };
const conv3d: Family = { op: 'DmConv', geometry: conv3dGeometry };
const depthwise: Family = { op: 'DmDepthwiseConv', geometry: depthwiseGeometry };

function isFirst({ attrs }: KernelCall): boolean {
  return attrs['dataFormat'] === 'NCHW';
}

function lastShape(call: KernelCall, shape: readonly number[]): readonly number[] {
  return isFirst(call) ? toLast.map((axis) => shape[axis]!) : shape;
}

function areFloats(...tensors: readonly TensorInfo[]): boolean {
  return tensors.every(({ dtype }) => dtype === 'float32');
}

/** y of a convolution, with a bias [channels] on the channels. */
function forward(
  { op, geometry }: Family,
  call: KernelCall,
  bias: TensorInfo | null = null,
): TensorInfo | null {
  const [x, filter] = [input(call, 'x'), input(call, 'filter')];
  if (!areFloats(x, filter)) return null;
  const { outShape, numbers } = geometry(call.attrs, x.shape, filter.shape);
  const output = { shape: lastShape(call, outShape), dtype: 'float32' } as const;
  const flags = op === 'DmConv' ? [bias === null ? 0 : 1] : [];
  return inChannelsLast(call, x, (last) => {
    const inputs = bias === null ? [last, filter] : [last, filter, bias];
    return call.backend.execute(op, inputs, output, [...flags, ...numbers]);
  });
}

function inputGrad({ op, geometry }: Family, call: KernelCall): TensorInfo | null {
  const [dy, filter] = [input(call, 'dy'), input(call, 'filter')];
  const shape = call.attrs['inputShape'] as number[];
  const { outShape, numbers } = geometry(call.attrs, shape, filter.shape);
  if (!areFloats(dy, filter) || !covers(dy, outShape)) return null;
  const output = { shape: lastShape(call, shape), dtype: 'float32' } as const;
  return composed(call.backend, (run, own) => {
    const slopes = cut(run, dy, outShape);
    const dx = inChannelsLast(call, slopes, (last) =>
      call.backend.execute(`${op}InputGrad`, [last, filter], output, numbers),
    );
    return own(dx);
  });
}

/** tf.conv2dTranspose takes a dy of more windows than the geometry has, and means the first of them. */
function covers(dy: TensorInfo, outShape: readonly number[]): boolean {
  return outShape.every((length, axis) => length <= dy.shape[axis]!);
}

function cut(run: Run, dy: TensorInfo, outShape: readonly number[]): TensorInfo {
  if (util.arraysEqual(dy.shape, [...outShape])) return dy;
  return run('Slice', { x: dy }, { begin: outShape.map(() => 0), size: [...outShape] });
}

/** Runs `f` on images as channels last; the result is in the format of the call. */
function inChannelsLast(
  call: KernelCall,
  images: TensorInfo,
  f: (last: TensorInfo) => TensorInfo,
): TensorInfo {
  if (!isFirst(call)) return f(images);
  return composed(call.backend, (run, own) => {
    const y = own(f(run('Transpose', { x: images }, { perm: toLast })));
    return run('Transpose', { x: y }, { perm: toFirst });
  });
}

function filterGrad({ op, geometry }: Family, call: KernelCall): TensorInfo | null {
  const [x, dy] = [input(call, 'x'), input(call, 'dy')];
  const shape = call.attrs['filterShape'] as number[];
  const { outShape, numbers } = geometry(call.attrs, x.shape, shape);
  if (!areFloats(x, dy) || !covers(dy, outShape)) return null;
  const output = { shape, dtype: 'float32' } as const;
  return composed(call.backend, (run, own) => {
    const [images, slopes] = [x, cut(run, dy, outShape)].map((tensor) =>
      isFirst(call) ? run('Transpose', { x: tensor }, { perm: toLast }) : tensor,
    ) as [TensorInfo, TensorInfo];
    return own(call.backend.execute(`${op}FilterGrad`, [images, slopes], output, numbers));
  });
}

/** A convolution, then a bias, then an activation. */
function fused(family: Family, call: KernelCall): TensorInfo | null {
  if (!isKnownActivation(call.attrs)) return null;
  const { bias, preluActivationWeights: alpha } = call.inputs;
  const channels = input(call, 'filter').shape.at(-1);
  const joined =
    family.op === 'DmConv' &&
    bias?.dtype === 'float32' &&
    bias.shape.length === 1 &&
    bias.shape[0] === channels;
  const y = forward(family, call, joined ? bias : null);
  if (y === null) return null;
  return composed(call.backend, (run, own) => {
    let whole = own(y);
    if (bias !== undefined && !joined) {
      whole = run('Add', { a: whole, b: alongChannels(call, run, bias) });
    }
    const slopes = alpha === undefined ? undefined : alongChannels(call, run, alpha);
    return activated(run, whole, call.attrs, slopes);
  });
}

/** A list of values of channels, to be broadcast with y; anything else as it is. */
function alongChannels(call: KernelCall, run: Run, x: TensorInfo): TensorInfo {
  const [channels = 1] = x.shape;
  if (!isFirst(call) || x.shape.length !== 1 || channels === 1) return x;
  return run('Reshape', { x }, { shape: [channels, 1, 1] });
}

export const convKernels: readonly NativeKernel[] = [
  { name: 'Conv2D', run: (call) => forward(conv2d, call) },
  { name: 'Conv2DBackpropFilter', run: (call) => filterGrad(conv2d, call) },
  { name: 'Conv2DBackpropInput', run: (call) => inputGrad(conv2d, call) },
  { name: 'Conv3D', run: (call) => forward(conv3d, call) },
  { name: 'Conv3DBackpropFilterV2', run: (call) => filterGrad(conv3d, call) },
  { name: 'Conv3DBackpropInputV2', run: (call) => inputGrad(conv3d, call) },
  { name: 'DepthwiseConv2dNative', run: (call) => forward(depthwise, call) },
  {
    name: 'DepthwiseConv2dNativeBackpropFilter',
    run: (call) => filterGrad(depthwise, call),
  },
  { name: 'DepthwiseConv2dNativeBackpropInput', run: (call) => inputGrad(depthwise, call) },
  { name: 'FusedConv2D', run: (call) => fused(conv2d, call) },
  { name: 'FusedDepthwiseConv2D', run: (call) => fused(depthwise, call) },
];
