// SPDX-License-Identifier: Apache-2.0
// Demo scenes whose sound lasts and follows a visible quantity: a rotor, a siren, a bird, a firework.

import { beam, box, disc, hsv, line, ring, type Canvas, type Color } from './canvas.ts';
import type { Scene } from './stage.ts';
import { glide, hiss, strike } from './track.ts';

const wave = (seconds: number, rate: number, phase: number): number =>
  Math.sin(2 * Math.PI * (seconds * rate + phase));

/** Blades turn, faster and slower; the hum's pitch is proportional to the speed and throbs as blades pass. */
export const rotor: Scene = ({ between, aspect, track, body, accent }) => {
  const blades = Math.floor(between(2, 5));
  const base = between(0.35, 0.75);
  const sway = between(0.3, 0.6);
  const rate = between(0.2, 0.4);
  const phase = between(0, 1);
  const sign = between(0, 1) < 0.5 ? -1 : 1;
  const length = between(0.26, 0.42);
  const x = between(0.38, 0.62) * aspect;
  const y = between(0.42, 0.55);
  const speed = (t: number): number => base * (1 + sway * wave(t, rate, phase)); // turns per second
  const turned = (t: number): number =>
    base * (t - (sway * Math.cos(2 * Math.PI * (t * rate + phase))) / (2 * Math.PI * rate));
  const throb = (t: number): number => 0.7 + 0.3 * Math.cos(2 * Math.PI * blades * turned(t));
  const pitch = between(150, 220);
  glide(track, (t) => pitch * speed(t), throb, [1, 0.7, 0.5, 0.4, 0.25, 0.15]);
  hiss(
    track,
    (t) => 900 * speed(t),
    (t) => 0.5 * throb(t),
    80,
  );
  return (canvas, t) => {
    line(canvas, [x, y, x, 1.05], 0.045, accent);
    for (let b = 0; b < blades; b++) {
      const angle = sign * 2 * Math.PI * (turned(t) + b / blades);
      const tip = { x: x + length * Math.cos(angle), y: y + length * Math.sin(angle) };
      line(canvas, [x, y, tip.x, tip.y], 0.075, body);
    }
    disc(canvas, x, y, 0.06, accent);
  };
};

/** Two beams sweep round a lamp; the tone rises as they turn to the side and falls as they turn away. */
export const siren: Scene = ({ between, aspect, track, accent }) => {
  const period = between(0.8, 1.8);
  const phase = between(0, 1);
  const low = between(500, 750);
  const range = between(1.5, 2.1);
  const light = hsv(between(0, 1) < 0.5 ? between(-0.03, 0.1) : between(0.56, 0.66), 0.85, 1);
  const x = between(0.35, 0.65) * aspect;
  const y = between(0.5, 0.7);
  const size = between(0.07, 0.11);
  const facing = (t: number): number => 0.5 - 0.5 * Math.cos(2 * Math.PI * (t / period + phase));
  glide(
    track,
    (t) => low * range ** facing(t),
    () => 1,
    [1, 0.45, 0.3, 0.12],
  );
  return (canvas, t) => {
    const angle = Math.PI * (t / period + phase);
    const bright = facing(t);
    const length = 2;
    beam(canvas, { x, y, angle, spread: 0.3, length }, light, 0.25 + 0.35 * bright);
    beam(
      canvas,
      { x, y, angle: angle + Math.PI, spread: 0.3, length },
      light,
      0.25 + 0.35 * bright,
    );
    disc(canvas, x, y, size * (1.5 + 1.2 * bright), light, 0.5);
    disc(canvas, x, y, size, [255, 255, 255], 0.4 + 0.6 * bright);
    box(canvas, [x - size * 1.6, y + size * 0.8, size * 3.2, 1], accent);
  };
};

/** A bird glides along a wavy path; its whistle is higher when it flies higher, broken by its wing beats. */
export const bird: Scene = ({ between, aspect, track, body }) => {
  const cross = between(2.2, 4.5);
  const sign = between(0, 1) < 0.5 ? -1 : 1;
  const rates = [between(0.25, 0.45), between(0.5, 0.9)] as const;
  const phases = [between(0, 1), between(0, 1), between(0, 1)] as const;
  const flap = between(1.8, 3.6);
  const size = between(0.11, 0.19);
  const height = (t: number): number =>
    0.5 + 0.24 * wave(t, rates[0], phases[0]) + 0.12 * wave(t, rates[1], phases[1]);
  const beat = (t: number): number => wave(t, flap, phases[2]);
  const pitch = between(1100, 1500);
  glide(
    track,
    (t) => pitch * 3 ** height(t) * (1 + 0.03 * beat(t)),
    (t) => Math.max(0, 0.45 + 0.55 * beat(t)),
    [1, 0.08],
  );
  return (canvas, t) => {
    const across = ((((t * sign) / cross + phases[2]) % 1) + 1) % 1;
    const x = (across * 1.3 - 0.15) * aspect;
    const y = 1 - height(t);
    const wing = size * (0.25 + 0.55 * beat(t));
    line(canvas, [x, y, x - size * 0.55, y - wing], 0.04, body);
    line(canvas, [x, y, x + size * 0.55, y - wing], 0.04, body);
    line(canvas, [x - size * 0.55, y - wing, x - size, y - wing * 0.5], 0.028, body);
    line(canvas, [x + size * 0.55, y - wing, x + size, y - wing * 0.5], 0.028, body);
    line(canvas, [x - sign * size * 0.4, y, x + sign * size * 0.3, y], 0.065, body);
    disc(canvas, x + sign * size * 0.38, y - 0.015, 0.032, body);
  };
};

/** Rockets climb with a rising whistle and burst with a crack; higher climbs take longer and end higher in pitch. */
export const firework: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const gap = between(1.2, 2);
  const offset = between(0, 1) * gap;
  const shots = Array.from({ length: Math.ceil(seconds / gap) + 2 }, (_, i) => {
    const height = between(0.45, 0.8);
    const burst = (i - 1) * gap + offset + between(-0.15, 0.15);
    return {
      burst,
      height,
      climb: 0.4 + 0.6 * height,
      x: between(0.2, 0.8) * aspect,
      turn: between(0, 1),
      sparks: Math.floor(between(9, 15)),
    };
  });
  const current = (t: number): (typeof shots)[number] | undefined =>
    shots.find(({ burst, climb }) => t < burst && t >= burst - climb);
  const progress = (t: number): number => {
    const shot = current(t);
    return shot === undefined ? -1 : (1 - (shot.burst - t) / shot.climb) * shot.height;
  };
  glide(
    track,
    (t) => 500 + 2200 * Math.max(0, progress(t)),
    (t) => (progress(t) < 0 ? 0 : 0.35),
    [1, 0.2],
  );
  hiss(
    track,
    () => 6000,
    (t) => crackle(shots, t),
    300,
  );
  for (const { burst } of shots) {
    strike(track, burst, { frequency: 140, glideTo: 60, decay: 0.08, gain: 0.9, click: 1.2 });
  }
  return (canvas, t) => {
    for (const shot of shots) {
      const { x, burst, climb, height } = shot;
      const since = t - burst;
      if (since < 0 && since >= -climb) {
        const y = 1 - height * (1 + since / climb);
        line(canvas, [x, y + 0.12, x, y], 0.022, accent, 0.5);
        disc(canvas, x, y, 0.028, body);
      } else if (since >= 0 && since < 0.8) {
        drawBurst(canvas, shot, since, [body, accent]);
      }
    }
  };
};

/** The flash, the sparks and a fading ring, `since` seconds after the burst. */
function drawBurst(
  canvas: Canvas,
  { x, height, turn, sparks }: { x: number; height: number; turn: number; sparks: number },
  since: number,
  [body, accent]: readonly [Color, Color],
): void {
  const y = 1 - height;
  const fade = 1 - since / 0.8;
  const reach = 0.32 * (1 - Math.exp(-since / 0.25));
  disc(canvas, x, y, 0.25, [255, 255, 255], 0.6 * Math.exp(-since / 0.08));
  for (let s = 0; s < sparks; s++) {
    const angle = 2 * Math.PI * (turn + s / sparks);
    const px = x + reach * Math.cos(angle);
    const py = y + reach * Math.sin(angle) + 0.25 * since * since;
    disc(canvas, px, py, 0.022, s % 2 === 0 ? body : accent, fade);
  }
  ring(canvas, { x, y, radius: reach * 0.6, thickness: 0.012 }, accent, 0.5 * fade);
}

function crackle(shots: readonly { burst: number }[], t: number): number {
  let gain = 0;
  for (const { burst } of shots) if (t >= burst) gain += 0.9 * Math.exp(-(t - burst) / 0.16);
  return gain;
}
