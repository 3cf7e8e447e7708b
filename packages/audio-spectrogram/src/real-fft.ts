// SPDX-License-Identifier: Apache-2.0
// Power spectrum of real frames, power-of-two sizes, float64. A frame of N reals is read as N/2
// complex numbers (even samples real, odd imaginary), transformed by a radix-4 Stockham FFT
// (self-sorting: no bit reversal, sequential writes; one radix-2 stage when log2(N/2) is odd) and
// split into the N/2 + 1 bins of the real transform. All tables are made once; a call allocates
// nothing. Complex arrays are interleaved: [re, im, re, im, ...].
// Legend: M = N/2 complex points, p twiddle index, q position inside a run, s run length.

/** Computes the power spectrum of one frame. */
export interface PowerSpectrum {
  /** Frame length N. */
  readonly size: number;
  /** N/2 + 1. */
  readonly bins: number;
  /** `frame` [size] float64 -> `power` [bins] = |rfft(frame)|^2, unscaled. Overwrites `power` only. */
  (frame: Float64Array, power: Float64Array): void;
}

interface Stage {
  /** Butterflies with distinct twiddles: n/4 for a radix-4 stage over runs of n points. */
  readonly groups: number;
  readonly run: number;
  /** [groups, 6]: (re, im) of w^p, w^2p, w^3p with w = exp(-2 pi i / n). */
  readonly twiddles: Float64Array;
}

/** Twiddles of the stage over `points`-long sub-transforms. cos and sin of exact multiples: each within 1 ulp. */
function radix4Twiddles(points: number): Float64Array {
  const groups = points / 4;
  const twiddles = new Float64Array(groups * 6);
  for (let p = 0; p < groups; p++) {
    for (let power = 1; power <= 3; power++) {
      const angle = (-2 * Math.PI * p * power) / points;
      twiddles[p * 6 + power * 2 - 2] = Math.cos(angle);
      twiddles[p * 6 + power * 2 - 1] = Math.sin(angle);
    }
  }
  return twiddles;
}

/** The first radix-4 stage (runs of one point), x -> y: every butterfly has its own twiddles. */
function radix4First(x: Float64Array, y: Float64Array, stage: Stage): void {
  const { groups, twiddles } = stage;
  const quarter = 2 * groups;
  for (let a = 0, t = 0, to = 0; a < quarter; a += 2, t += 6, to += 8) {
    const b = a + quarter;
    const c = b + quarter;
    const d = c + quarter;
    const sumACr = x[a]! + x[c]!;
    const sumACi = x[a + 1]! + x[c + 1]!;
    const difACr = x[a]! - x[c]!;
    const difACi = x[a + 1]! - x[c + 1]!;
    const sumBDr = x[b]! + x[d]!;
    const sumBDi = x[b + 1]! + x[d + 1]!;
    const difBDr = x[b]! - x[d]!;
    const difBDi = x[b + 1]! - x[d + 1]!;
    y[to] = sumACr + sumBDr;
    y[to + 1] = sumACi + sumBDi;
    const r1 = difACr + difBDi;
    const i1 = difACi - difBDr;
    y[to + 2] = twiddles[t]! * r1 - twiddles[t + 1]! * i1;
    y[to + 3] = twiddles[t]! * i1 + twiddles[t + 1]! * r1;
    const r2 = sumACr - sumBDr;
    const i2 = sumACi - sumBDi;
    y[to + 4] = twiddles[t + 2]! * r2 - twiddles[t + 3]! * i2;
    y[to + 5] = twiddles[t + 2]! * i2 + twiddles[t + 3]! * r2;
    const r3 = difACr - difBDi;
    const i3 = difACi + difBDr;
    y[to + 6] = twiddles[t + 4]! * r3 - twiddles[t + 5]! * i3;
    y[to + 7] = twiddles[t + 4]! * i3 + twiddles[t + 5]! * r3;
  }
}

/** The butterflies of a radix-4 stage with p = 0, whose twiddles are 1; all there is in the last stage. */
function radix4Plain(x: Float64Array, y: Float64Array, stage: Stage): void {
  const stride = 2 * stage.run;
  const quarter = stride * stage.groups;
  for (let a = 0; a < stride; a += 2) {
    const b = a + quarter;
    const c = b + quarter;
    const d = c + quarter;
    const sumACr = x[a]! + x[c]!;
    const sumACi = x[a + 1]! + x[c + 1]!;
    const difACr = x[a]! - x[c]!;
    const difACi = x[a + 1]! - x[c + 1]!;
    const sumBDr = x[b]! + x[d]!;
    const sumBDi = x[b + 1]! + x[d + 1]!;
    const difBDr = x[b]! - x[d]!;
    const difBDi = x[b + 1]! - x[d + 1]!;
    y[a] = sumACr + sumBDr;
    y[a + 1] = sumACi + sumBDi;
    const to1 = a + stride;
    y[to1] = difACr + difBDi;
    y[to1 + 1] = difACi - difBDr;
    const to2 = to1 + stride;
    y[to2] = sumACr - sumBDr;
    y[to2 + 1] = sumACi - sumBDi;
    const to3 = to2 + stride;
    y[to3] = difACr - difBDi;
    y[to3 + 1] = difACi + difBDr;
  }
}

/** The butterflies of a radix-4 stage with p > 0, x -> y. */
function radix4Twiddled(x: Float64Array, y: Float64Array, stage: Stage): void {
  const { groups, run, twiddles } = stage;
  const stride = 2 * run;
  const quarter = stride * groups;
  for (let p = 1; p < groups; p++) {
    const t = p * 6;
    const w1r = twiddles[t]!;
    const w1i = twiddles[t + 1]!;
    const w2r = twiddles[t + 2]!;
    const w2i = twiddles[t + 3]!;
    const w3r = twiddles[t + 4]!;
    const w3i = twiddles[t + 5]!;
    let from = p * stride;
    let to = 4 * from;
    for (const end = from + stride; from < end; from += 2, to += 2) {
      const b = from + quarter;
      const c = b + quarter;
      const d = c + quarter;
      const sumACr = x[from]! + x[c]!;
      const sumACi = x[from + 1]! + x[c + 1]!;
      const difACr = x[from]! - x[c]!;
      const difACi = x[from + 1]! - x[c + 1]!;
      const sumBDr = x[b]! + x[d]!;
      const sumBDi = x[b + 1]! + x[d + 1]!;
      const difBDr = x[b]! - x[d]!;
      const difBDi = x[b + 1]! - x[d + 1]!;
      y[to] = sumACr + sumBDr;
      y[to + 1] = sumACi + sumBDi;
      const r1 = difACr + difBDi;
      const i1 = difACi - difBDr;
      const to1 = to + stride;
      y[to1] = w1r * r1 - w1i * i1;
      y[to1 + 1] = w1r * i1 + w1i * r1;
      const r2 = sumACr - sumBDr;
      const i2 = sumACi - sumBDi;
      const to2 = to1 + stride;
      y[to2] = w2r * r2 - w2i * i2;
      y[to2 + 1] = w2r * i2 + w2i * r2;
      const r3 = difACr - difBDi;
      const i3 = difACi + difBDr;
      const to3 = to2 + stride;
      y[to3] = w3r * r3 - w3i * i3;
      y[to3 + 1] = w3r * i3 + w3i * r3;
    }
  }
}

/** The last stage when log2(M) is odd: M/2 two-point transforms, no twiddles. */
function radix2(x: Float64Array, y: Float64Array, points: number): void {
  for (let i = 0; i < points; i++) {
    const a = x[i]!;
    const b = x[i + points]!;
    y[i] = a + b;
    y[i + points] = a - b;
  }
}

/** Splits the M-point transform `z` of the packed frame into the powers of the M + 1 real bins. */
function splitPowers(z: Float64Array, power: Float64Array, twiddles: Float64Array): void {
  const points = z.length / 2;
  const dc = z[0]! + z[1]!;
  const nyquist = z[0]! - z[1]!;
  power[0] = dc * dc;
  power[points] = nyquist * nyquist;
  for (let k = 1, m = points - 1; k <= m; k++, m--) {
    const kr = z[2 * k]!;
    const ki = z[2 * k + 1]!;
    const mr = z[2 * m]!;
    const mi = z[2 * m + 1]!;
    const evenR = kr + mr;
    const evenI = ki - mi;
    const oddR = ki + mi;
    const oddI = mr - kr;
    const c = twiddles[2 * k]!;
    const s = twiddles[2 * k + 1]!;
    const tr = c * oddR - s * oddI;
    const ti = c * oddI + s * oddR;
    const lowR = evenR + tr;
    const lowI = evenI + ti;
    const highR = evenR - tr;
    const highI = evenI - ti;
    power[k] = 0.25 * (lowR * lowR + lowI * lowI);
    power[m] = 0.25 * (highR * highR + highI * highI);
  }
}

/** Makes the transform for frames of `size` samples, a power of two >= 4. Holds its own work buffers: not re-entrant. */
export function createPowerSpectrum(size: number): PowerSpectrum {
  const points = size / 2;
  const stages: Stage[] = [];
  let left = points;
  for (let run = 1; left >= 4; left /= 4, run *= 4) {
    stages.push({ groups: left / 4, run, twiddles: radix4Twiddles(left) });
  }
  const splitTwiddles = new Float64Array(points + 2);
  for (let k = 0; 2 * k + 1 < splitTwiddles.length; k++) {
    splitTwiddles[2 * k] = Math.cos((-2 * Math.PI * k) / size);
    splitTwiddles[2 * k + 1] = Math.sin((-2 * Math.PI * k) / size);
  }
  const first = new Float64Array(size);
  const second = new Float64Array(size);
  const transform = (frame: Float64Array, power: Float64Array): void => {
    let from = frame;
    let to = first;
    for (const stage of stages) {
      if (stage.run === 1 && stage.groups > 1) {
        radix4First(from, to, stage);
      } else {
        radix4Plain(from, to, stage);
        radix4Twiddled(from, to, stage);
      }
      from = to;
      to = to === first ? second : first;
    }
    if (left === 2) {
      radix2(from, to, points);
      from = to;
    }
    splitPowers(from, power, splitTwiddles);
  };
  return Object.assign(transform, { size, bins: points + 1 });
}
