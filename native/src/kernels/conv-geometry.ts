// SPDX-License-Identifier: Apache-2.0
// The sizes of a convolution as tfjs works them out, and as the numbers of native/cpu/conv-plan.h.
import { backend_util, util } from '@tensorflow/tfjs-core';
import type { NamedAttrMap } from '@tensorflow/tfjs-core';

export interface Geometry {
  /** Of y, in the format of the call. */
  readonly outShape: readonly number[];
  /** [B, C, channels of y, then for frames, rows, columns: size, windows, stride, taps, dilation, padding before]. */
  readonly numbers: readonly number[];
}

/** By the attributes of a kernel, the shape of x, and that of the filter. */
export type GeometryOf = (
  attrs: NamedAttrMap,
  x: readonly number[],
  filter: readonly number[],
) => Geometry;

type Four = [number, number, number, number];
type Five = [number, number, number, number, number];
type Format = 'NHWC' | 'NCHW';
type Padding = 'same' | 'valid';

/** An axis that is not there. */
const flat = [1, 1, 1, 1, 1, 0];

function geometry2d(
  attrs: NamedAttrMap,
  x: readonly number[],
  filter: readonly number[],
  isDepthwise: boolean,
): Geometry {
  const info = backend_util.computeConv2DInfo(
    x as Four,
    filter as Four,
    attrs['strides'] as number,
    (attrs['dilations'] as number | null | undefined) ?? 1,
    attrs['pad'] as Padding,
    attrs['dimRoundingMode'] as 'floor' | undefined,
    isDepthwise,
    backend_util.convertConv2DDataFormat((attrs['dataFormat'] as Format | undefined) ?? 'NHWC'),
  );
  const { inHeight, outHeight, strideHeight, filterHeight, dilationHeight, padInfo } = info;
  const { inWidth, outWidth, strideWidth, filterWidth, dilationWidth } = info;
  const rows = [inHeight, outHeight, strideHeight, filterHeight, dilationHeight, padInfo.top];
  const columns = [inWidth, outWidth, strideWidth, filterWidth, dilationWidth, padInfo.left];
  const channels = [info.batchSize, info.inChannels, info.outChannels];
  return { outShape: info.outShape, numbers: [...channels, ...flat, ...rows, ...columns] };
}

export const conv2dGeometry: GeometryOf = (attrs, x, filter) => geometry2d(attrs, x, filter, false);

export const depthwiseGeometry: GeometryOf = (attrs, x, filter) => {
  const strides = attrs['strides'] as number | number[];
  const dilations = (attrs['dilations'] as number[] | null | undefined) ?? [1, 1];
  util.assert(
    backend_util.eitherStridesOrDilationsAreOne(strides, dilations),
    // The words of tfjs.
    () =>
      'Error in depthwiseConv2d: Either strides or dilations must be ' +
      `1. Got strides ${String(strides)} and dilations '${String(dilations)}'`,
  );
  return geometry2d(attrs, x, filter, true);
};

export const conv3dGeometry: GeometryOf = (attrs, x, filter) => {
  const info = backend_util.computeConv3DInfo(
    x as Five,
    filter as Five,
    attrs['strides'] as number,
    (attrs['dilations'] as number | undefined) ?? 1,
    attrs['pad'] as Padding,
  );
  const { inDepth, outDepth, strideDepth, filterDepth, dilationDepth, padInfo } = info;
  const { inHeight, outHeight, strideHeight, filterHeight, dilationHeight } = info;
  const { inWidth, outWidth, strideWidth, filterWidth, dilationWidth } = info;
  const channels = [info.batchSize, info.inChannels, info.outChannels];
  const frames = [inDepth, outDepth, strideDepth, filterDepth, dilationDepth, padInfo.front];
  const rows = [inHeight, outHeight, strideHeight, filterHeight, dilationHeight, padInfo.top];
  const columns = [inWidth, outWidth, strideWidth, filterWidth, dilationWidth, padInfo.left];
  return { outShape: info.outShape, numbers: [...channels, ...frames, ...rows, ...columns] };
};
