// SPDX-License-Identifier: Apache-2.0
// Where to crop. One box serves every frame of a clip, so boxes are values and drawing one is apart
// from applying it. `uniform` is a keyed stream of draws in [0, 1).
import { checkCounts, checkUniform, VideoError } from './errors.ts';
import type { Box } from './frames.ts';

/** Frame size and the ranges a random crop is drawn from. */
export interface RandomResizedCrop {
  /** Frame height in pixels. */
  readonly height: number;
  /** Frame width in pixels. */
  readonly width: number;
  /** Share of the frame's area the crop covers, within (0, 1]; default [0.2, 1]. [MAViL §B] */
  readonly scale?: readonly [low: number, high: number];
  /** Width over height of the crop, > 0; default [3/4, 4/3]. */
  readonly ratio?: readonly [low: number, high: number];
}

const attempts = 10;

/**
 * The random resized crop of torchvision and mae_st: area share uniform in `scale`, aspect
 * log-uniform in `ratio`, then top and left uniform; after 10 tries that do not fit, the largest
 * centred crop whose aspect is within `ratio`. Draws in order: area, aspect, and on the try that
 * fits top, left.
 */
export function randomResizedCropBox(options: RandomResizedCrop, uniform: () => number): Box {
  const where = 'randomResizedCropBox';
  const { height, width, scale = [0.2, 1], ratio = [3 / 4, 4 / 3] } = options;
  checkCounts(where, { height, width });
  checkRange(where, 'scale', scale, 1);
  checkRange(where, 'ratio', ratio, Number.MAX_VALUE);
  const draw = (): number => {
    const value = uniform();
    checkUniform(where, 'a draw', value);
    return value;
  };
  const [logLow, logHigh] = [Math.log(ratio[0]), Math.log(ratio[1])];
  for (let attempt = 0; attempt < attempts; attempt++) {
    const area = height * width * between(scale[0], scale[1], draw());
    const aspect = Math.exp(between(logLow, logHigh, draw()));
    const boxWidth = roundHalfEven(Math.sqrt(area * aspect));
    const boxHeight = roundHalfEven(Math.sqrt(area / aspect));
    if (boxWidth > 0 && boxWidth <= width && boxHeight > 0 && boxHeight <= height) {
      const top = Math.floor(draw() * (height - boxHeight + 1));
      const left = Math.floor(draw() * (width - boxWidth + 1));
      return { top, left, height: boxHeight, width: boxWidth };
    }
  }
  return centralFallback(height, width, ratio);
}

/** Frame size and the side of the centred square; default the shorter side. */
export interface CenterCrop {
  readonly height: number;
  readonly width: number;
  readonly size?: number;
}

/** The centred square of side `size`; an odd margin rounds half to even, as torchvision does. */
export function centerCropBox({ height, width, size }: CenterCrop): Box {
  checkCounts('centerCropBox', { height, width });
  const side = size ?? Math.min(height, width);
  checkCounts('centerCropBox', { size: side });
  if (side > height || side > width) {
    throw new VideoError(
      'Shape',
      `centerCropBox: expected size at most ${Math.min(height, width)} for a ` +
        `${height}x${width} frame, got ${side}. Try: resizeShortSide first`,
    );
  }
  return {
    top: roundHalfEven((height - side) / 2),
    left: roundHalfEven((width - side) / 2),
    height: side,
    width: side,
  };
}

function centralFallback(height: number, width: number, ratio: readonly [number, number]): Box {
  let [boxHeight, boxWidth] = [height, width];
  if (width / height < ratio[0]) boxHeight = roundHalfEven(width / ratio[0]);
  else if (width / height > ratio[1]) boxWidth = roundHalfEven(height * ratio[1]);
  return {
    top: Math.floor((height - boxHeight) / 2),
    left: Math.floor((width - boxWidth) / 2),
    height: boxHeight,
    width: boxWidth,
  };
}

function between(low: number, high: number, uniform: number): number {
  return low + (high - low) * uniform;
}

/** Python's round for values >= 0: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function checkRange(
  where: string,
  name: string,
  [low, high]: readonly [number, number],
  limit: number,
): void {
  if (!(low > 0 && low <= high && high <= limit)) {
    const range = limit === 1 ? '0 < low <= high <= 1' : '0 < low <= high, finite';
    throw new VideoError(
      'Shape',
      `${where}: expected ${name} [low, high] with ${range}, got [${low}, ${high}]`,
    );
  }
}
