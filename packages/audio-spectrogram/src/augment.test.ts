// SPDX-License-Identifier: Apache-2.0
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addNoise,
  drawBeta,
  drawFrameRoll,
  drawGain,
  drawNoise,
  drawRoll,
  drawSpecAugment,
  mixWaveforms,
  rollFrames,
  rollWaveform,
  scaleWaveform,
  specAugment,
} from './augment.ts';
import type { SpectrogramNoise } from './augment.ts';
import type { Uniform } from './errors.ts';

/** A stream of draws from the linear congruential generator of the goldens. */
function stream(seed: number): Uniform {
  let state = seed;
  return () => {
    state = (Math.imul(1103515245, state) + 12345) & 0x7fffffff;
    return state / 2 ** 31;
  };
}

/** A stream that gives these draws and then fails: it pins the number and order of draws. */
function exactly(...draws: number[]): Uniform {
  return () => {
    const next = draws.shift();
    if (next === undefined) throw new Error('one draw too many');
    return next;
  };
}

function ramp(frames: number, mels: number) {
  const values = Float32Array.from({ length: frames * mels }, (_, i) => i + 1);
  return { values, frames, mels };
}

describe('rollWaveform', () => {
  it('moves samples towards the end and wraps', () => {
    const waveform = Float32Array.of(1, 2, 3, 4, 5);
    expect([...rollWaveform(waveform, 2)]).toEqual([4, 5, 1, 2, 3]);
    expect([...rollWaveform(waveform, -1)]).toEqual([2, 3, 4, 5, 1]);
    expect([...rollWaveform(waveform, 12)]).toEqual([4, 5, 1, 2, 3]);
    expect(rollWaveform(waveform, 0)).toEqual(waveform);
    expect(rollWaveform(new Float32Array(0), 3)).toEqual(new Float32Array(0));
  });

  it('composes like addition, whatever the shifts', () => {
    const shift = fc.integer({ min: -1000, max: 1000 });
    const samples = fc.float32Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(samples, shift, shift, (waveform, a, b) => {
        expect(rollWaveform(rollWaveform(waveform, a), b)).toEqual(rollWaveform(waveform, a + b));
      }),
      { seed: 20_231_005 },
    );
  });

  it('draws shifts over the whole clip, unlike the reference code, whose shift is always 0', () => {
    expect(drawRoll(16_000, exactly(0))).toBe(0);
    expect(drawRoll(16_000, exactly(1 - 2 ** -24))).toBe(15_999);
    expect(drawRoll(16_000, exactly(0.5))).toBe(8000);
  });

  it('refuses a fractional shift', () => {
    expect(() => rollWaveform(new Float32Array(2), 0.5)).toThrow(
      expect.objectContaining({
        kind: 'Config',
        message: 'rollWaveform: shift: expected a whole number, got 0.5',
      }),
    );
  });
});

describe('drawGain', () => {
  it('is Beta(10, 10) + 0.5: mean 1, variance 1 / 84, inside 0.5..1.5', () => {
    const uniform = stream(1);
    const gains = Float64Array.from({ length: 20_000 }, () => drawGain(uniform));
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
    const variance = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / gains.length;
    // Standard errors: 0.11 / sqrt(20000) = 0.0008 for the mean, about 1 % for the variance.
    expect(Math.abs(mean - 1)).toBeLessThan(0.003);
    expect(Math.abs(variance * 84 - 1)).toBeLessThan(0.04);
    expect(Math.min(...gains)).toBeGreaterThan(0.5);
    expect(Math.max(...gains)).toBeLessThan(1.5);
  });

  it('takes 19 draws and gives their median', () => {
    const draws = Array.from({ length: 19 }, (_, i) => ((i * 7) % 19) / 19);
    expect(drawGain(exactly(...draws))).toBe(9 / 19 + 0.5);
    expect(drawBeta(1, 2, exactly(0.9, 0.2))).toBe(0.2);
  });

  it('scales a waveform', () => {
    expect([...scaleWaveform(Float32Array.of(0.5, -1), 1.5)]).toEqual([0.75, -1.5]);
    expect(() => scaleWaveform(new Float32Array(1), Number.NaN)).toThrow(
      'scaleWaveform: gain: expected a finite number, got NaN',
    );
  });
});

describe('mixWaveforms', () => {
  it('mixes mean-free waveforms, cuts or pads the second, and removes the mean again', () => {
    const first = Float32Array.of(1, 3, 1, 3); // mean-free: -1 1 -1 1
    const second = Float32Array.of(0, 8); // mean-free: -4 4, then padded
    // 0.75 * (-1, 1, -1, 1) + 0.25 * (-4, 4, 0, 0); its mean is 0.
    expect([...mixWaveforms(first, second, 0.75)]).toEqual([-1.75, 1.75, -0.75, 0.75]);
    // Cut to two samples: 0.5 * (-4, 4) + 0.5 * (-1, 1).
    expect([...mixWaveforms(second, first, 0.5)]).toEqual([-2.5, 2.5]);
    expect(() => mixWaveforms(first, second, 1.1)).toThrow(
      'mixWaveforms: weight: expected 0..1, got 1.1',
    );
  });
});

describe('specAugment', () => {
  it('clears one band of mels and one of frames, and nothing else', () => {
    const mel = ramp(4, 5);
    const out = specAugment(mel, {
      frequency: { start: 1, width: 2 },
      time: { start: 3, width: 1 },
    });
    expect([...out.values]).toEqual(
      [
        [1, 0, 0, 4, 5],
        [6, 0, 0, 9, 10],
        [11, 0, 0, 14, 15],
        [0, 0, 0, 0, 0],
      ].flat(),
    );
    expect(mel).toEqual(ramp(4, 5));
  });

  it('draws frequency first: v = U * limit, start = floor(U * (size - v)), width floor(v)', () => {
    const size = { frames: 1024, mels: 128 };
    const masks = drawSpecAugment(size, { time: 192, frequency: 48 }, exactly(0.3, 0.5, 0.7, 0.25));
    // v = 14.4, start floor(0.5 * 113.6) = 56; v = 134.4, start floor(0.25 * 889.6) = 222.
    expect(masks).toEqual({
      frequency: { start: 56, width: 14 },
      time: { start: 222, width: 134 },
    });
  });

  it('draws only masks that fit, even when the limit is larger than the spectrogram', () => {
    const draw = fc.double({ min: 0, max: 1 - 2 ** -24, noNaN: true });
    const draws = fc.tuple(draw, draw, draw, draw);
    fc.assert(
      fc.property(draws, fc.integer({ min: 0, max: 300 }), (four, limit) => {
        const mel = ramp(7, 5);
        const limits = { time: limit, frequency: limit };
        const masks = drawSpecAugment(mel, limits, exactly(...four));
        expect(masks.time.width).toBeLessThanOrEqual(Math.max(0, limit - 1));
        expect(specAugment(mel, masks).values).toHaveLength(35);
      }),
      { seed: 20_231_005 },
    );
  });

  it('refuses a band that does not fit', () => {
    const masks = { frequency: { start: 0, width: 0 }, time: { start: 3, width: 2 } };
    expect(() => specAugment(ramp(4, 5), masks)).toThrow(
      expect.objectContaining({
        kind: 'Config',
        message: 'specAugment: time: expected start + width <= 4, got 3 + 2',
      }),
    );
    const negative = { ...masks, frequency: { start: -1, width: 0 } };
    expect(() => specAugment(ramp(4, 5), negative)).toThrow(
      'specAugment: frequency.start: expected a whole number >= 0, got -1',
    );
  });
});

describe('noise', () => {
  it('of kind uniform is U * peak * u, u drawn first', () => {
    const noise = drawNoise(ramp(1, 2), { kind: 'uniform', peak: 0.1 }, exactly(0.5, 0.25, 1 / 3));
    expect(noise).toEqual(Float32Array.of(0.0125, 0.05 / 3));
  });

  it('of kind gaussian has the asked signal-to-noise ratio', () => {
    const mel = ramp(100, 128);
    const noise = drawNoise(mel, { kind: 'gaussian', snrDecibels: 20 }, stream(4));
    const power = (values: Float32Array): number => values.reduce((sum, v) => sum + v * v, 0);
    // 12800 draws: the estimate of the power is within 1.25 %, 0.054 dB, one standard deviation.
    expect(10 * Math.log10(power(mel.values) / power(noise))).toBeCloseTo(20, 0.5);
    const mean = noise.reduce((sum, value) => sum + value, 0) / noise.length;
    expect(Math.abs(mean)).toBeLessThan(0.03 * Math.sqrt(power(noise) / noise.length));
  });

  it('is added value by value', () => {
    const mel = ramp(1, 2);
    expect([...addNoise(mel, Float32Array.of(0.5, -1)).values]).toEqual([1.5, 1]);
    expect(() => addNoise(mel, new Float32Array(3))).toThrow(
      expect.objectContaining({
        kind: 'Shape',
        message: 'addNoise: noise: expected [frames, mels] = [1, 2], 2 values, got 3',
      }),
    );
  });

  it('refuses an unknown kind', () => {
    const noise = { kind: 'pink' } as unknown as SpectrogramNoise;
    expect(() => drawNoise(ramp(1, 1), noise, exactly())).toThrow(
      'drawNoise: expected kind \'uniform\' or \'gaussian\', got {"kind":"pink"}',
    );
  });
});

describe('rollFrames', () => {
  it('moves whole rows cyclically', () => {
    expect([...rollFrames(ramp(3, 2), 1).values]).toEqual([5, 6, 1, 2, 3, 4]);
    expect([...rollFrames(ramp(3, 2), -1).values]).toEqual([3, 4, 5, 6, 1, 2]);
  });

  it('draws shifts from -limit to limit - 1', () => {
    expect(drawFrameRoll(10, exactly(0))).toBe(-10);
    expect(drawFrameRoll(10, exactly(1 - 2 ** -24))).toBe(9);
    expect(drawFrameRoll(0, exactly(0.7))).toBe(0);
  });
});
