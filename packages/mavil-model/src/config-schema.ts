// SPDX-License-Identifier: Apache-2.0
// What a valid configuration is, field by field (zod); the rules between fields are in config-rules.ts.
// Every fault is one clause that names its key; the caller joins them into one sentence.
import { z } from 'zod';

import { fault, rules } from './config-rules.ts';

const whole = (min: number, max: number): z.ZodType<number> =>
  z.custom<number>((v) => Number.isInteger(v) && inside(v as number, min, max), {
    error: `a whole number ${min}..${max}`,
  });
const real = (min: number, max: number): z.ZodType<number> =>
  z.custom<number>((v) => typeof v === 'number' && inside(v, min, max), {
    error: `a number ${min}..${max}`,
  });
const fraction: z.ZodType<number> = z.custom<number>(
  (v) => typeof v === 'number' && v > 0 && v < 1,
  { error: 'a number above 0 and below 1' },
);
const flag: z.ZodType<boolean> = z.custom<boolean>((v) => typeof v === 'boolean', {
  error: 'true or false',
});
const oneOf = (...kinds: string[]): z.ZodType<string> =>
  z.custom<string>((v) => kinds.includes(v as string), {
    error: oneOfText(kinds),
  });
const pair = (min: number, max: number): z.ZodType<[number, number]> =>
  z.custom<[number, number]>(
    (v) =>
      Array.isArray(v) &&
      v.length === 2 &&
      v.every((n) => Number.isInteger(n) && inside(n as number, min, max)),
    { error: `two whole numbers ${min}..${max}` },
  );

function oneOfText(kinds: readonly string[]): string {
  return kinds.map((kind) => `'${kind}'`).join(' or ');
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function inside(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

const section = <S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> =>
  z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'an object' : undefined),
  });

const audio = section({
  frames: whole(1, 16384),
  mels: whole(1, 1024),
  patch: whole(1, 256),
  stride: whole(1, 256),
});
const video = section({
  frames: whole(1, 1024),
  size: whole(1, 2048),
  tubelet: whole(1, 64),
  patch: whole(1, 256),
  predictFrames: whole(1, 1024),
});
const encoder = section({
  width: whole(4, 8192),
  depth: whole(0, 128),
  heads: whole(1, 256),
  mlpRatio: real(0.25, 16),
  classToken: flag,
  distillationToken: flag,
  finalNorm: flag,
  sharing: oneOf('separate', 'shared'),
  positions: oneOf('sincos', 'learned'),
  modalityToken: flag,
  normEpsilon: z.custom<number>((v) => typeof v === 'number' && v > 0 && v <= 0.1, {
    error: 'a number above 0 and at most 0.1',
  }),
});
const fusion = section({
  kind: oneOf('joint', 'bottleneck', 'modality-norms', 'none'),
  depth: whole(1, 128),
  bottlenecks: whole(1, 1024),
  finalNorm: flag,
});
const decoder = section({
  width: whole(4, 8192),
  depth: whole(1, 128),
  heads: whole(1, 256),
  audioAttention: oneOf('window', 'cosine-window', 'global'),
  window: pair(1, 64),
  shift: pair(0, 63),
  videoAttention: oneOf('cross', 'self'),
  sharing: oneOf('separate', 'shared', 'joint'),
  context: oneOf('fused', 'other-modality'),
  positions: oneOf('sincos', 'learned'),
  modalityToken: flag,
  classToken: oneOf('none', 'encoder', 'learned'),
});
const classifier = section({
  pooling: oneOf('tokens', 'class-tokens'),
  finalNorm: flag,
  joint: oneOf('side-by-side', 'mean'),
});
const masking = section({
  rounding: oneOf('floor', 'nearest'),
  secondView: oneOf('disjoint', 'independent'),
  audio: oneOf('random', 'time', 'frequency', 'time-frequency'),
});
const diffused = section({
  kind: z.literal('diffused'),
  timesteps: whole(1, 100000),
  betaStart: fraction,
  betaEnd: fraction,
  exponent: z.custom<number>((v) => typeof v === 'number' && v > 0 && v <= 10, {
    error: 'a number above 0 and at most 10',
  }),
});
const maskToken = section({ kind: z.literal('mask-token') });
const patchTargets = section({ kind: z.literal('patches') });
const teacher = section({
  kind: z.literal('teacher'),
  width: whole(1, 8192),
  features: oneOf('fusion', 'encoder'),
  normalize: flag,
});
const loss = section({
  audioWeight: real(0, 1000),
  videoWeight: real(0, 1000),
  interWeight: real(0, 1000),
  interTemperature: real(0.0001, 1000),
  interDirection: oneOf('audio-to-video', 'video-to-audio', 'both'),
  intraWeight: real(0, 1000),
  intraTemperature: real(0.0001, 1000),
  normalizeTargets: flag,
});

const sections: Readonly<Record<string, z.ZodObject>> = {
  audio,
  video,
  encoder,
  fusion,
  decoder,
  classifier,
  masking,
  loss,
};
/** Sections whose fields depend on their `kind`. */
const tagged: Readonly<Record<string, Readonly<Record<string, z.ZodObject>>>> = {
  masked: { diffused, 'mask-token': maskToken },
  targets: { patches: patchTargets, teacher },
};
const nullable = new Set(['audio', 'video']);

/** All faults of a configuration whose defaults are filled, each a clause naming its key; none when it is valid. */
export function checkConfig(config: Readonly<Record<string, unknown>>): string[] {
  const faults: string[] = [];
  const sound = new Set<string>();
  const known = [...Object.keys(sections), ...Object.keys(tagged)];
  for (const key of Object.keys(config)) {
    if (!known.includes(key)) faults.push(unknownKey(key, '', known));
  }
  for (const name of known) {
    const found = checkSection(name, config[name]);
    faults.push(...found);
    if (found.length === 0) sound.add(name);
  }
  for (const rule of rules) {
    if (rule.reads.every((name) => sound.has(name))) faults.push(...rule.check(config as never));
  }
  return faults;
}

function checkSection(name: string, value: unknown): string[] {
  if (value === null && nullable.has(name)) return [];
  const kinds = tagged[name];
  const kind = (value as { kind?: unknown } | null | undefined)?.kind;
  if (kinds !== undefined && isObject(value) && !Object.hasOwn(kinds, String(kind))) {
    return [fault(`${name}.kind`, oneOfText(Object.keys(kinds)), kind)];
  }
  const schema = kinds === undefined ? sections[name] : (kinds[String(kind)] ?? patchTargets);
  if (schema === undefined) return [];
  const result = schema.safeParse(value);
  if (result.success) return [];
  const keys = Object.keys(schema.shape);
  return result.error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => unknownKey(key, `${name}.`, keys));
    }
    const expected =
      nullable.has(name) && issue.path.length === 0 ? 'an object or null' : issue.message;
    return [fault([name, ...issue.path].join('.'), expected, valueAt(value, issue.path))];
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], value);
}

function unknownKey(key: string, prefix: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  const close =
    near !== undefined && near.distance <= Math.max(2, Math.floor(near.name.length / 3));
  const hint = close ? `did you mean ${prefix}${near.name}?` : `known: ${known.join(', ')}`;
  return `${prefix}${key}: unknown key, ${hint}`;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
