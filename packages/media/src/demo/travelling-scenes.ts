// SPDX-License-Identifier: Apache-2.0
// Demo scenes whose sound follows how fast something travels: a train, a zipper.

import { box, disc, line } from './canvas.ts';
import type { Scene } from './stage.ts';
import { glide, hiss, strike } from './track.ts';

/** Wagons pass; they rumble while in sight and clack when a gap between two passes the signal post. */
export const train: Scene = ({ between, seconds, aspect, track, body, accent }) => {
  const speed = between(0.3, 0.75); // picture heights per second
  const sign = between(0, 1) < 0.5 ? -1 : 1;
  const wagon = between(0.32, 0.55);
  const gap = 0.05;
  const wagons = Math.ceil((speed * seconds * between(0.5, 0.9)) / (wagon + gap));
  const starts = between(-0.5, 0.3) * aspect;
  const rail = between(0.68, 0.85);
  const tall = between(0.2, 0.3);
  const post = between(0.35, 0.65) * aspect;
  const front = (t: number): number => starts + speed * t; // distance of the first wagon's nose from its edge
  const tail = (t: number): number => front(t) - wagons * (wagon + gap);
  const inSight = (t: number): number =>
    Math.max(0, Math.min(front(t), aspect) - Math.max(0, tail(t))) / aspect;
  const postAt = sign > 0 ? post : aspect - post;
  for (let joint = 0; joint <= wagons; joint++) {
    const at = (postAt + joint * (wagon + gap) - starts) / speed;
    const sound = { frequency: 300 + 250 * speed, decay: 0.03, gain: 1.2, click: 0.8 };
    strike(track, at, sound);
    strike(track, at + 0.06 / speed, { ...sound, gain: 0.8 });
  }
  hiss(
    track,
    () => 90 + 260 * speed,
    (t) => 2.6 * inSight(t),
    35,
  );
  return (canvas, t) => {
    box(canvas, [0, rail + 0.035, aspect, 0.025], accent);
    for (let i = 0; i < wagons; i++) {
      const nose = front(t) - i * (wagon + gap);
      const left = sign > 0 ? nose - wagon : aspect - nose;
      if (left > aspect || left + wagon < 0) continue;
      box(canvas, [left, rail - tall, wagon, tall - 0.02], i % 2 === 0 ? body : accent);
      box(
        canvas,
        [left + wagon * 0.15, rail - tall * 0.8, wagon * 0.7, tall * 0.3],
        [235, 235, 215],
        0.8,
      );
      for (const share of [0.22, 0.78])
        disc(canvas, left + wagon * share, rail, 0.036, [20, 20, 22]);
    }
    line(canvas, [post, rail - tall - 0.22, post, 1], 0.022, [60, 60, 64]);
    disc(canvas, post, rail - tall - 0.22, 0.04, inSight(t) > 0 ? [230, 40, 30] : [40, 200, 70]);
  };
};

/** A slider runs to and fro over teeth: the buzz is as high, and as loud, as it is fast. */
export const zipper: Scene = ({ between, aspect, track, body, accent }) => {
  const rate = between(0.45, 1);
  const phase = between(0, 1);
  const reach = between(0.24, 0.36) * aspect;
  const x = between(0.42, 0.58) * aspect;
  const y = between(0.35, 0.65);
  const pitch = between(0.022, 0.034); // between teeth
  const angle = (t: number): number => 2 * Math.PI * (t * rate + phase);
  const place = (t: number): number => x + reach * Math.sin(angle(t));
  const pace = (t: number): number => Math.abs(reach * 2 * Math.PI * rate * Math.cos(angle(t)));
  const loud = (t: number): number => Math.min(1, pace(t) / 2) ** 1.5;
  glide(track, (t) => (6 * pace(t)) / pitch, loud, [0.6, 0.5, 0.45, 0.4, 0.3, 0.25, 0.2]);
  hiss(
    track,
    (t) => 800 + 2500 * pace(t),
    (t) => 1.6 * loud(t),
    700,
  );
  return (canvas, t) => {
    const slider = place(t);
    box(canvas, [x - reach - 0.1, y - 0.16, reach * 2 + 0.2, 0.32], accent, 0.35);
    for (let tooth = x - reach - 0.08; tooth < x + reach + 0.08; tooth += pitch * 2) {
      const open = Math.max(0, Math.min(0.06, (tooth - slider) * 0.3));
      box(canvas, [tooth, y - 0.045 - open, pitch, 0.045], accent);
      box(canvas, [tooth + pitch, y + open, pitch, 0.045], accent);
    }
    box(canvas, [slider - 0.06, y - 0.075, 0.12, 0.15], body);
    line(canvas, [slider, y, slider - 0.16 * Math.cos(angle(t)), y + 0.13], 0.035, body);
  };
};
