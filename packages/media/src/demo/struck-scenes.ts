// SPDX-License-Identifier: Apache-2.0
// Demo scenes whose sound is a stroke at a visible moment: a ball, a metronome, drops, a loudspeaker.

import { box, disc, hsv, line, ring } from './canvas.ts';
import type { Scene } from './stage.ts';
import { strike } from './track.ts';

/** A ball bounces on a floor; a knock at each bounce, deeper for a larger ball. Slower bounces rise higher. */
export const bouncingBall: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const radius = between(0.06, 0.14);
  const period = between(0.45, 0.95);
  const rise = 0.75 * (period / 0.95) ** 2 + 0.05;
  const floor = between(0.82, 0.95);
  const phase = between(0, 1);
  const centre = between(0.35, 0.65) * aspect;
  const drift = between(0.05, 0.25) * aspect;
  const wander = between(0.5, 1.5);
  const frequency = 24 / radius; // 170..400 Hz
  for (let bounce = 0; (bounce - phase) * period < seconds; bounce++) {
    strike(track, (bounce - phase) * period, { frequency, decay: 0.09, gain: 1, click: 0.5 });
  }
  return (canvas, t) => {
    const u = (t / period + phase) % 1;
    const height = rise * 4 * u * (1 - u);
    const x = centre + drift * Math.sin(wander * t + phase);
    box(canvas, [0, floor, aspect, 1 - floor], accent, 0.6);
    ring(
      canvas,
      { x, y: floor, radius: radius * 0.4, thickness: radius * 0.8, flatness: 0.25 },
      [0, 0, 0],
      0.4 / (1 + 4 * height),
    );
    const y = floor - radius - height;
    disc(canvas, x, y, radius, body);
    disc(canvas, x - radius * 0.35, y - radius * 0.35, radius * 0.3, [255, 255, 255], 0.45);
  };
};

/** A pendulum upside down: it ticks each time the arm is upright; a weight further up beats slower. */
export const metronome: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const interval = between(0.26, 0.72);
  const swing = between(0.4, 0.75);
  const arm = between(0.55, 0.75);
  const weight = 0.25 + 0.65 * ((interval - 0.26) / 0.46);
  const phase = between(0, 1);
  const x = between(0.35, 0.65) * aspect;
  const y = between(0.85, 0.95);
  const pitch = between(1500, 2600);
  for (let tick = 0; (tick - phase) * interval < seconds; tick++) {
    const frequency = tick % 2 === 0 ? pitch : pitch * 0.8;
    strike(track, (tick - phase) * interval, { frequency, decay: 0.012, gain: 1, click: 0.9 });
  }
  return (canvas, t) => {
    const angle = swing * Math.sin(Math.PI * (t / interval + phase));
    const tip = { x: x + arm * Math.sin(angle), y: y - arm * Math.cos(angle) };
    line(canvas, [x - 0.17, y + 0.02, x, y - 0.62], 0.03, accent);
    line(canvas, [x + 0.17, y + 0.02, x, y - 0.62], 0.03, accent);
    line(canvas, [x - 0.17, y + 0.02, x + 0.17, y + 0.02], 0.05, accent);
    line(canvas, [x, y, tip.x, tip.y], 0.022, body);
    disc(canvas, x + (tip.x - x) * weight, y + (tip.y - y) * weight, 0.06, body);
  };
};

/** Drops fall and plink on water; larger drops sound lower; rings spread where they landed. */
export const rain: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const perSecond = between(2, 6);
  const fall = between(0.35, 0.6);
  const surface = between(0.7, 0.82);
  const drops = Array.from({ length: Math.ceil((seconds + 1) * perSecond) }, (_, i) => ({
    lands: (i + between(-0.4, 0.4)) / perSecond - 0.5,
    x: between(0.08, 0.92) * aspect,
    y: between(surface, 0.96),
    size: between(0.012, 0.034),
  }));
  for (const { lands, size } of drops) {
    const frequency = 26 / size; // 760..2200 Hz, rising as a bubble does
    const sound = { frequency, glideTo: frequency * 1.5, decay: 0.035, partial: 0, click: 0.1 };
    strike(track, lands, { ...sound, gain: 0.4 + size * 20 });
  }
  return (canvas, t) => {
    box(canvas, [0, surface - 0.03, aspect, 1], accent, 0.55);
    for (const drop of drops) {
      const left = drop.lands - t;
      if (left > 0 && left < fall) {
        const y = drop.y * (1 - (left / fall) ** 1.3);
        line(canvas, [drop.x, y - drop.size * 2.5, drop.x, y], drop.size * 1.4, body);
      } else if (left <= 0 && left > -0.7) {
        const radius = drop.size + -left * 0.25;
        const shape = { x: drop.x, y: drop.y, radius, thickness: 0.02, flatness: 0.3 };
        ring(canvas, shape, body, 0.9 * (1 + left / 0.7));
      }
    }
  };
};

/** A loudspeaker's cone jumps with each low beat; a larger cone is deeper; a faster tempo moves less far. */
export const speaker: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const beat = between(0.32, 0.75);
  const radius = between(0.2, 0.34);
  const phase = between(0, 1);
  const x = between(0.38, 0.62) * aspect;
  const y = between(0.42, 0.58);
  const frequency = 20 / radius; // 60..100 Hz
  for (let i = 0; (i - phase) * beat < seconds; i++) {
    const accented = i % 4 === 0 ? 1 : 0.7;
    const sound = { frequency: frequency * 2, glideTo: frequency, decay: 0.11, partial: 0.15 };
    strike(track, (i - phase) * beat, { ...sound, gain: accented, click: 0.06 });
  }
  return (canvas, t) => {
    const beats = t / beat + phase;
    const since = (beats % 1) * beat;
    const accented = Math.floor(beats) % 4 === 0 ? 1 : 0.7;
    const push = accented * Math.exp(-since / 0.13);
    const frame = radius * 1.25;
    box(canvas, [x - frame, y - frame, frame * 2, frame * 2], accent);
    disc(canvas, x, y, radius * 1.08, [25, 25, 28]);
    disc(canvas, x, y, radius * (0.78 + 0.26 * push), body);
    disc(canvas, x, y, radius * (0.3 + 0.16 * push), hsv(0, 0, 0.15 + 0.75 * push));
    const wave = { x, y, radius: radius * 1.1 + since * 0.9, thickness: 0.02 };
    ring(canvas, wave, [255, 255, 255], Math.max(0, 0.5 * accented * (1 - since / 0.45)));
  };
};
