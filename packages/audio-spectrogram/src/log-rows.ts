// SPDX-License-Identifier: Apache-2.0
// Natural logarithm of a row of float64 energies, several times as fast as Math.log and off by less
// than 1e-12. x = 2^e * z, z in [1, 2); the top 7 mantissa bits of z choose a centre c, and
// ln x = e ln 2 + ln c + ln(1 + r) with r = z / c - 1, |r| < 2^-8, by four terms of the series.
// z is x times a power of two from a table: writing the exponent bits and reading the number back
// would wait for the store.

const CELLS = 128;
/** 1 / c and ln c of cell i, c the cell's middle: [CELLS, 2]. */
const cells: Float64Array = Float64Array.from({ length: 2 * CELLS }, (_, i) => {
  const centre = 1 + (Math.floor(i / 2) + 0.5) / CELLS;
  return i % 2 === 0 ? 1 / centre : Math.log(centre);
});
/** 2^(1023 - biased exponent), for the exponent bits of every normal number below 2^1023. */
const scales: Float64Array = Float64Array.from(
  { length: 2046 },
  (_, biased) => 2 ** (1023 - biased),
);
/** Which 32-bit half of a float64 holds sign, exponent and top mantissa bits on this machine. */
const HIGH_HALF = new Int32Array(new Float64Array([1]).buffer)[1] === 0 ? 0 : 1;

/** Turns rows of energies into logarithms. */
export interface LogRows {
  /** The row to fill before each call, [length]. */
  readonly energies: Float64Array;
  /** `out[start + i] = ln(max(energies[i], floor))`; a value at the floor or below becomes `floorLog` exactly. */
  readonly write: (out: Float32Array, start: number) => void;
}

/** Makes the logarithm for rows of `length` finite energies. `floor` is a normal positive float64. */
export function createLogRows(length: number, floor: number, floorLog: number): LogRows {
  const energies = new Float64Array(length);
  const halves = new Int32Array(energies.buffer);
  const write = (out: Float32Array, start: number): void => {
    for (let i = 0; i < length; i++) {
      const energy = energies[i]!;
      if (!(energy > floor)) {
        out[start + i] = floorLog;
        continue;
      }
      const high = halves[2 * i + HIGH_HALF]!;
      const biased = high >> 20;
      const cell = (high >> 12) & 0xfe;
      const r = energy * scales[biased]! * cells[cell]! - 1;
      const series = r * (1 + r * (-1 / 2 + r * (1 / 3 - r / 4)));
      out[start + i] = (biased - 1023) * Math.LN2 + cells[cell + 1]! + series;
    }
  };
  return { energies, write };
}
