// SPDX-License-Identifier: Apache-2.0
// A mono sound track for the demo clips: struck bodies, glides, buzzes and noise, added in place.

export interface Track {
  readonly samples: Float32Array;
  /** Hz. */
  readonly sampleRate: number;
  /** White noise, -1..1. */
  readonly noise: () => number;
}

/** `seed`: 0..1, one draw of the clip's stream. */
export function createTrack(seconds: number, sampleRate: number, seed: number): Track {
  let state = Math.floor(seed * 2 ** 32) >>> 0 || 1;
  const noise = (): number => {
    state ^= state << 13; // xorshift32 [Marsaglia 2003]
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 31 - 1;
  };
  return { samples: new Float32Array(Math.round(seconds * sampleRate)), sampleRate, noise };
}

export interface Strike {
  /** Hz at the stroke. */
  readonly frequency: number;
  /** Seconds until it has fallen to 1/e. */
  readonly decay: number;
  readonly gain: number;
  /** Hz at the end of the decay; default: `frequency`. */
  readonly glideTo?: number;
  /** Gain of a partial at 2.76 times the frequency (a struck bar), default 0.3. */
  readonly partial?: number;
  /** Gain of the noise in the first moment, default 0.2. */
  readonly click?: number;
}

/** A body struck at a time, in seconds. Times outside the track are cut, not moved. */
export function strike(track: Track, at: number, sound: Strike): void {
  const { samples, sampleRate, noise } = track;
  const { frequency, decay, gain, glideTo = frequency, partial = 0.3, click = 0.2 } = sound;
  const first = Math.round(at * sampleRate);
  const count = Math.ceil(decay * 6 * sampleRate);
  let phase = 0;
  for (let i = 0; i < count; i++) {
    const seconds = i / sampleRate;
    const fall = Math.exp(-seconds / decay);
    phase += (2 * Math.PI * (glideTo + (frequency - glideTo) * fall)) / sampleRate;
    const body = Math.sin(phase) + partial * fall * Math.sin(phase * 2.76);
    const stroke = click * noise() * Math.exp(-seconds / 0.004);
    const index = first + i;
    if (index >= 0 && index < samples.length) {
      samples[index] = (samples[index] ?? 0) + gain * (fall * body + stroke);
    }
  }
}

/** A tone whose pitch (Hz) and gain follow the clock; `harmonics[n]` is the gain of partial n + 1. */
export function glide(
  track: Track,
  frequency: (seconds: number) => number,
  gain: (seconds: number) => number,
  harmonics: readonly number[] = [1],
): void {
  const { samples, sampleRate } = track;
  let phase = 0;
  for (let i = 0; i < samples.length; i++) {
    const seconds = i / sampleRate;
    phase += (2 * Math.PI * frequency(seconds)) / sampleRate;
    let value = 0;
    for (let n = 0; n < harmonics.length; n++)
      value += (harmonics[n] ?? 0) * Math.sin(phase * (n + 1));
    samples[i] = (samples[i] ?? 0) + gain(seconds) * value;
  }
}

/** Noise below `high(t)` and above `low` Hz (one-pole slopes), following the clock. */
export function hiss(
  track: Track,
  high: (seconds: number) => number,
  gain: (seconds: number) => number,
  low: number = 0,
): void {
  const { samples, sampleRate, noise } = track;
  const slow = 1 - Math.exp((-2 * Math.PI * low) / sampleRate);
  let below = 0;
  let floor = 0;
  for (let i = 0; i < samples.length; i++) {
    const seconds = i / sampleRate;
    below += (1 - Math.exp((-2 * Math.PI * high(seconds)) / sampleRate)) * (noise() - below);
    floor += slow * (below - floor);
    samples[i] = (samples[i] ?? 0) + gain(seconds) * (below - floor);
  }
}

/** Scales the track to a peak (0..1), then adds a floor of brownish noise of the given gain. */
export function finish(track: Track, peak: number, floor: number): void {
  const { samples } = track;
  const loudest = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  const scale = peak / loudest;
  for (let i = 0; i < samples.length; i++) samples[i] = (samples[i] ?? 0) * scale;
  hiss(
    track,
    () => 1500,
    () => floor * 2,
    60,
  );
  for (let i = 0; i < samples.length; i++) {
    samples[i] = Math.max(-1, Math.min(1, samples[i] ?? 0));
  }
}
