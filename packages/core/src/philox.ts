// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and Box-Muller on top of it, written
// with nothing but integer operations and correctly rounded float32 +, -, *, / and sqrt: no fused multiply-add and no libm,
// so C++ and CUDA give the same bits.

const { fround, imul, sqrt } = Math;
const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** Replaces the counter in `words` (four uint32) by the four random uint32 of that counter under the key (key0, key1). */
export function philox(words: Uint32Array, key0: number, key1: number): void {
  let c0 = words[0]!;
  let c1 = words[1]!;
  let c2 = words[2]!;
  let c3 = words[3]!;
  let k0 = key0;
  let k1 = key1;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const high1 = multiplyHigh(multiplier1, c2);
    const low0 = imul(multiplier0, c0);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = imul(multiplier1, c2) >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/** Writes four standard normals made of the four uint32 in `words` to `out[offset..offset+3]`. */
export function normalBlock(words: Uint32Array, out: Float32Array, offset: number): void {
  for (let pair = 0; pair < 4; pair += 2) {
    const radius = fround(sqrt(minusTwoLog(words[pair]!)));
    // The angle is 2 pi angle / 2^32: the nearest quarter turn, and what is left of it in -pi/4..pi/4.
    const angle = words[pair + 1]!;
    const quarter = ((angle + 0x20000000) >>> 0) >>> 30;
    const rest = (angle - (quarter << 30)) | 0;
    const x = fround(fround(rest >> 6) * radiansPerUnit);
    const sine = sineOf(x);
    const cosine = cosineOf(x);
    const swap = (quarter & 1) === 1;
    const a = swap ? cosine : sine;
    const b = swap ? sine : cosine;
    out[offset + pair] = radius * (((quarter + 1) & 2) === 0 ? b : -b);
    out[offset + pair + 1] = radius * ((quarter & 2) === 0 ? a : -a);
  }
}

/** Bits 32..63 of the product of two uint32; every intermediate is an integer below 2^49, exact in a double. */
function multiplyHigh(a: number, b: number): number {
  const carried = ((a * (b & 0xffff)) / 65536) >>> 0;
  return ((a * (b >>> 16) + carried) / 65536) >>> 0;
}

const sqrt2 = fround(1.41421354);
const ln2 = fround(0.693147182);
// 2 pi / 2^26, for an angle counted in 2^-26 turns.
const radiansPerUnit = fround(fround(6.283185482025146) * 2 ** -26);
// ln((1 + z) / (1 - z)) / 2 = z + z^3/3 + z^5/5 + z^7/7 + z^9/9.
const third = fround(0.333333343);
const fifth = fround(0.2);
const seventh = fround(0.142857149);
const ninth = fround(0.111111112);

/** -2 ln(u) for u = ((word >> 8) + 1/2) 2^-24, by u = 2^e m with m in sqrt(1/2)..sqrt(2). */
function minusTwoLog(word: number): number {
  float[0] = fround(fround(word >>> 8) + 0.5) * 2 ** -24;
  const exponent = (bits[0]! >>> 23) - 127;
  bits[0] = (bits[0]! & 0x7fffff) | 0x3f800000;
  const fraction = float[0];
  const halve = fraction > sqrt2;
  const m = halve ? fround(fraction * 0.5) : fraction;
  const e = halve ? exponent + 1 : exponent;
  const z = fround(fround(m - 1) / fround(m + 1));
  const w = fround(z * z);
  const p7 = fround(fround(w * fround(fround(w * ninth) + seventh)) + fifth);
  const p3 = fround(fround(w * p7) + third);
  const ln = fround(2 * fround(z + fround(z * fround(w * p3))));
  return fround(-2 * fround(fround(e * ln2) + ln));
}

// Taylor coefficients, 1/3! … 1/8!, rounded to float32.
const sine3 = fround(-0.166666672);
const sine5 = fround(0.00833333377);
const sine7 = fround(-0.000198412701);
const cosine4 = fround(0.0416666679);
const cosine6 = fround(-0.00138888892);
const cosine8 = fround(2.48015876e-5);

function sineOf(x: number): number {
  const w = fround(x * x);
  const p = fround(sine3 + fround(w * fround(sine5 + fround(w * sine7))));
  return fround(x + fround(fround(x * w) * p));
}

function cosineOf(x: number): number {
  const w = fround(x * x);
  const p6 = fround(cosine6 + fround(w * cosine8));
  const p4 = fround(cosine4 + fround(w * p6));
  return fround(1 + fround(w * fround(-0.5 + fround(w * p4))));
}
