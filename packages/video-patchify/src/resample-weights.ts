// SPDX-License-Identifier: Apache-2.0
// The weights of a bilinear resize along one axis, computed once and used for every row of every
// frame. Pixel centres are at i + 0.5 on both sides (align_corners = false).

/** Output i is the sum over t < counts[i] of weights[i * taps + t] * input[starts[i] + t]. */
export interface AxisWeights {
  readonly taps: number;
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly weights: Float32Array;
}

/**
 * Weights from `inputs` to `outputs` samples. With `antialias`, shrinking by a factor f widens the
 * triangle filter to f input samples on each side, as Pillow and torch's `antialias=True` do;
 * otherwise, and when enlarging, two neighbours are mixed. Samples outside count for nothing and
 * the weights of an output are scaled to sum to 1, which repeats the edge sample.
 */
export function axisWeights(inputs: number, outputs: number, antialias: boolean): AxisWeights {
  const scale = inputs / outputs;
  const support = antialias && scale > 1 ? scale : 1;
  const taps = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputs);
  const counts = new Int32Array(outputs);
  const weights = new Float32Array(outputs * taps);
  for (let output = 0; output < outputs; output++) {
    const center = (output + 0.5) * scale;
    const start = Math.max(Math.floor(center - support + 0.5), 0);
    const end = Math.min(Math.floor(center + support + 0.5), inputs);
    let sum = 0;
    for (let input = start; input < end; input++) sum += triangle(input, center, support);
    for (let input = start; input < end; input++) {
      weights[output * taps + input - start] = triangle(input, center, support) / sum;
    }
    starts[output] = start;
    counts[output] = end - start;
  }
  return { taps, starts, counts, weights };
}

function triangle(input: number, center: number, support: number): number {
  return Math.max(0, 1 - Math.abs(input + 0.5 - center) / support);
}
