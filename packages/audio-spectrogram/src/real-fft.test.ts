// SPDX-License-Identifier: Apache-2.0
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { createPowerSpectrum } from './real-fft.ts';

/** |sum x[n] exp(-2 pi i k n / N)|^2 by the definition. */
function directPower(frame: Float64Array): Float64Array {
  const size = frame.length;
  return Float64Array.from({ length: size / 2 + 1 }, (_, k) => {
    let re = 0;
    let im = 0;
    for (const [n, x] of frame.entries()) {
      const angle = (2 * Math.PI * ((k * n) % size)) / size;
      re += x * Math.cos(angle);
      im -= x * Math.sin(angle);
    }
    return re * re + im * im;
  });
}

it.each([4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048])(
  'equals the definition at size %i',
  (size) => {
    const frame = Float64Array.from({ length: size }, (_, i) => Math.sin(i * i + size));
    const power = new Float64Array(size / 2 + 1);
    const before = frame.slice();
    const transform = createPowerSpectrum(size);
    transform(frame, power);
    const expected = directPower(frame);
    const scale = Math.max(...expected);
    const errors = power.map((value, k) => Math.abs(value - expected[k]!) / scale);
    // Measured 2e-14 at size 2048, most of it in the direct sum.
    expect(Math.max(...errors)).toBeLessThan(1e-12);
    expect(frame).toEqual(before);
    expect(transform.bins).toBe(size / 2 + 1);
  },
);

it('keeps the energy of any frame (Parseval), over any real input', () => {
  const transform = createPowerSpectrum(64);
  const power = new Float64Array(33);
  const sample = fc.double({ min: -1, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.array(sample, { minLength: 64, maxLength: 64 }), (samples) => {
      transform(Float64Array.from(samples), power);
      const inner = power.subarray(1, 32).reduce((sum, value) => sum + 2 * value, 0);
      const spectral = (power[0]! + power[32]! + inner) / 64;
      const energy = samples.reduce((sum, value) => sum + value * value, 0);
      expect(Math.abs(spectral - energy)).toBeLessThanOrEqual(1e-13 * Math.max(1, energy));
    }),
    { seed: 20_231_005, numRuns: 50 },
  );
});
